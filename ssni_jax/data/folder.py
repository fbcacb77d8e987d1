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
from ssni_jax.data.hashing import Known, checked_files, labelled_hash
from ssni_jax.data.images import as_array
from ssni_jax.data.source import Example


@dataclasses.dataclass(frozen=True)
class ImageFolder:
    """The image files of a folder or zip archive, sorted by name; with `size`, resized and centre-cropped to a square.

    PNG, JPEG, WebP, BMP, TIFF, PPM and GIF of one frame are read, hidden files ignored. Labels "folder": the number
    of the class subfolder ("10", "010.Ovenbird"), the published index of a synset of ImageNet ("n01440764") or of a
    class name of CIFAR-10, or the place of its name in `classes`; -1 in a flat folder. "name": the integer with which
    the file name begins. `fingerprint` is the sha256 of relative names, labels and encoded bytes, made while every
    file is decoded to check it.
    """

    path: str
    size: int | None = None
    channels: int | None = None
    """1 for grey, 3 for colour; None for as many as the network takes, and 3 where there is none."""
    labels: Literal["folder", "name"] = "folder"
    classes: tuple[str, ...] | None = dataclasses.field(default=None, metadata=ADDED)
    """The names of all class subfolders in the order of their labels, for names that say no number."""

    def __post_init__(self):
        if self.size is not None and self.size < 1:
            raise ValueError(f"size must be at least 1, or None to keep the size, got {self.size}.")
        if self.channels not in (None, 1, 3):
            raise ValueError(f"channels must be 1 (grey), 3 (colour) or None, got {self.channels}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The files in the order of their ids, relative to the folder."""
        return listed(self.path).images

    @property
    def class_map(self) -> Mapping[str, int]:
        """The label of each class subfolder; empty where there are none, or where their names say no label."""
        return _class_map(self.path, self.classes) or {}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return _first_shape(self) if self.size is None else (self.size, self.size, self.channels or 3)

    @property
    def n_classes(self) -> int:
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
        lines = [shown(self.class_map)] if self.class_map and self.labels == "folder" else []
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
        known = checked_files(container(self.path), self.names, self.channels or 3)
        first = self.names[0]
        for name, facts in known.items() if self.size is None else ():
            if facts[2:] != known[first][2:]:
                raise ValueError(
                    f"{name} in {self.path} has {facts.height} x {facts.width} pixels and {first} has "
                    f"{known[first].height} x {known[first].width}; give the source a size, so that all are resized "
                    "and cropped alike."
                )
        return known

    def known_labels(self) -> Int[np.ndarray, " N"]:
        """The labels of all images, without reading any."""
        return _labels(self.path, self.labels, self.classes)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> Example:
        content, name = container(self.path).read(self.names[i]), f"{self.path}/{self.names[i]}"
        image = as_array(content, name, self.channels or 3, self.size)
        return {"image": image, "label": int(self.known_labels()[i]), "id": i}


@functools.cache
def _first_shape(source: ImageFolder) -> tuple[int, int, int]:
    return source[0]["image"].shape


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
