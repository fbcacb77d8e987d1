"""A folder or a zip archive of image files as a source."""

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

from ssni_jax.core.pytree import ADDED
from ssni_jax.data.classes import MOST_CLASSES, NUMBERED, PARTS_OF_A_SET, class_map, n_classes_of, shown
from ssni_jax.data.containers import container, listed
from ssni_jax.data.encoded import EncodedImage, EncodedImages
from ssni_jax.data.hashing import Known, checked_files, labelled_hash
from ssni_jax.data.label_files import FileLabels, Numbers, labels_in
from ssni_jax.data.resizing import Resizing, StoredSize


@dataclasses.dataclass(frozen=True)
class ImageFolder(EncodedImages):
    """The image files of a folder or zip archive, sorted by name; with `size`, resized and centre-cropped to a square.

    PNG, JPEG, WebP, BMP, TIFF, PPM and GIF of one frame are read, hidden files ignored. Labels "folder": the number
    of the class subfolder ("10", "010.Ovenbird"), the published index of a synset of ImageNet ("n01440764") or of a
    class name of CIFAR-10, or the place of its name in `classes`; -1 in a flat folder. "name": the integer with which
    the file name begins. A `label_file` replaces both. `fingerprint` is the sha256 of relative names, labels and
    encoded bytes, made while every file is decoded to check it.
    """

    path: str
    size: int | None = None
    channels: int | None = None
    """1 for grey, 3 for colour; None for as many as the network takes, and 3 where there is none."""
    labels: Literal["folder", "name"] = "folder"
    classes: tuple[str, ...] | None = dataclasses.field(default=None, metadata=ADDED)
    """The names of all classes in the order of their labels, for names that say no number."""
    label_file: str | None = dataclasses.field(default=None, metadata=ADDED)
    """Read the label of each image from this file: val.txt of Caffe, LOC_val_solution.csv of Kaggle, the ground truth
    of the development kit, or lines of an image's name and its class."""
    numbers: Numbers | None = dataclasses.field(default=None, metadata=ADDED)
    """What the numbers of a label file without names mean: "index", the published index from 0, or "ilsvrc2012_id",
    the number from 1 of the development kit, whose meta.mat lies beside the file."""
    resizing: Resizing = dataclasses.field(default=StoredSize(), metadata=ADDED)
    """Resize pictures as a paper or library does, instead of `size`: ResizeCrop(256, 224), AdmCrop(256) and others."""

    def __post_init__(self):
        if self.channels not in (None, 1, 3):
            raise ValueError(f"channels must be 1 (grey), 3 (colour) or None, got {self.channels}.")
        if self.label_file is not None and self.labels != "folder":
            raise ValueError(f"label_file = {self.label_file} and labels = {self.labels!r} both say labels: give one.")
        if self.numbers is not None and self.label_file is None:
            raise ValueError(f"numbers = {self.numbers!r} says what a label file means: give label_file as well.")
        self.resize  # noqa: B018 - refuses a wrong size

    @property
    def names(self) -> tuple[str, ...]:
        """The files in the order of their ids, relative to the folder."""
        return listed(self.path).images

    @property
    def class_map(self) -> Mapping[str, int]:
        """The label of each class subfolder; empty where there are none, or where their names say no label."""
        return _class_map(self.path, self.classes) or {}

    @property
    def n_channels(self) -> int:
        return self.channels or 3

    @property
    def n_classes(self) -> int:
        if self.label_file is not None:
            return _labels_of(self).n_classes
        if self.labels == "name":
            return 1 + int(self.known_labels().max())
        return n_classes_of(self.class_map, self.classes) if self.class_map else 0

    @property
    def why_unlabelled(self) -> str:
        """What is missing where `n_classes` is 0, with the remedy."""
        names = _folders(self.path)
        if not names:
            return f"{self.path} has no class subfolders: put the images into one per class, or set labels='name'."
        return (
            f"the class subfolders of {self.path} have names that say no label: give all class names in the order of "
            f"their labels, for example ImageFolder({self.path!r}, classes={tuple(names)!r})."
        )

    @property
    def summary(self) -> str:
        """The class map and the files that are not read, in a line each."""
        has_map = self.labels == "folder" and self.label_file is None
        lines = [shown(self.class_map)] if has_map and self.class_map else []
        skipped = listed(self.path).skipped
        if skipped:
            lines.append(f"{len(skipped)} files are no images and not read: {', '.join(skipped[:3])}")
        return "\n".join(lines)

    @property
    def fingerprint(self) -> str:
        known = self.checked()
        return labelled_hash(known, zip(self.names, self.known_labels().tolist(), strict=True))

    def checked(self) -> dict[str, Known]:
        """Hash and size of every file, after decoding it; ValueError names what cannot be read, or has another size."""
        known = checked_files(container(self.path), self.names, self.n_channels)
        first = self.names[0]
        for name, facts in known.items() if self.resize.side is None else ():
            if facts[2:] != known[first][2:]:
                raise ValueError(
                    f"{name} in {self.path} has {facts.height} x {facts.width} pixels and {first} has "
                    f"{known[first].height} x {known[first].width}; give the source a size, so that all are resized "
                    "and cropped alike."
                )
        return known

    def known_labels(self) -> Int[np.ndarray, " N"]:
        """The labels of all images, without reading any."""
        if self.label_file is not None:
            return _labels_of(self).labels
        return _labels(self.path, self.labels, self.classes)

    def __len__(self) -> int:
        return len(self.names)

    def encoded(self, i: int) -> EncodedImage:
        """The file of image i."""
        name = self.names[i]
        return EncodedImage(container(self.path).read(name), int(self.known_labels()[i]), f"{self.path}/{name}")


@functools.cache
def _labels_of(folder: ImageFolder) -> FileLabels:
    assert folder.label_file is not None
    return labels_in(Path(folder.label_file), folder.names, folder.classes, folder.numbers)


@functools.cache
def _folders(path: str) -> tuple[str, ...]:
    """The class subfolders that hold images; refused are loose images beside them, and a root one level too high."""
    parts = [name.split("/") for name in listed(path).images]
    top = sorted({part[0] for part in parts if len(part) > 1})
    loose = [part[0] for part in parts if len(part) == 1]
    if loose and top:
        raise ValueError(f"{path} holds both class subfolders and loose images; move {loose[0]} into one.")
    if top and {name.lower() for name in top} <= PARTS_OF_A_SET:
        raise ValueError(f"{path} holds the parts of a data set, {', '.join(top)}: give one, such as {path}/{top[-1]}.")
    if len(top) == 1 and not NUMBERED.fullmatch(top[0]) and all(len(part) > 2 for part in parts):
        raise ValueError(f"{path} holds the one folder {top[0]}, which holds others: give {path}/{top[0]}.")
    return tuple(top)


@functools.cache
def _class_map(path: str, classes: tuple[str, ...] | None) -> Mapping[str, int] | None:
    folders = _folders(path)
    return class_map(folders, classes) if folders else None


@functools.cache
def _labels(path: str, rule: str, classes: tuple[str, ...] | None) -> Int[np.ndarray, " N"]:
    names = listed(path).images
    if rule == "name":
        return np.array([_leading_number(name) for name in names], np.int64)
    labels = _class_map(path, classes) or {}
    return np.array([labels.get(name.split("/")[0], -1) for name in names], np.int64)


def _leading_number(name: str) -> int:
    file = Path(name).name
    number = re.match(r"\d+", file)
    if number is None:
        raise ValueError(f'{file} does not begin with a number, which labels="name" reads; use labels="folder".')
    if int(number.group()) >= MOST_CLASSES:
        raise ValueError(f'{file} begins with {number.group()}, which is no class; use labels="folder".')
    return int(number.group())
