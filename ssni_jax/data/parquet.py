"""Parquet files in the layout of the Hugging Face hub as a source; needs the extra `parquet`."""

import dataclasses
import functools
import importlib
import json
import re
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from ssni_jax.core.pytree import ADDED
from ssni_jax.data.checked_rows import RowRange
from ssni_jax.data.encoded import EncodedImage
from ssni_jax.data.records import RecordImages
from ssni_jax.data.resizing import Resizing, StoredSize
from ssni_jax.data.shards import one_line

AGAIN = "download it again"
SHARD = re.compile(r"(?P<split>.+?)-(?P<i>\d+)-of-(?P<n>\d+)(?:-\w+)?\.parquet")
N_GROUPS = 2  # row groups in memory per process; those of the hub hold 100 images


@dataclasses.dataclass(frozen=True)
class Parquet(RecordImages):
    """One split of a folder of parquet files: an image file and its label per row, as data sets of the hub have them.

    Files are those of `path` or of its folder data, such as validation-00000-of-00014-HASH.parquet, with a column of
    structs of `bytes` and one of whole numbers. `fingerprint` is the sha256 of image files and labels, that of a
    TfdsDirectory of the same rows.
    """

    path: str
    split: str = "validation"
    size: int | None = None
    channels: int | None = None
    """1 for grey, 3 for colour; None for as many as the network takes, and 3 where there is none."""
    image: str = "image"
    """The column of the image files; "img" in the hub's cifar10."""
    label: str = "label"
    """The column of the labels."""
    resizing: Resizing = dataclasses.field(default=StoredSize(), metadata=ADDED)
    """Resize pictures as a paper or library does, instead of `size`: ResizeCrop(256, 224), AdmCrop(256) and others."""

    def __post_init__(self):
        if self.channels not in (None, 1, 3):
            raise ValueError(f"channels must be 1 (grey), 3 (colour) or None, got {self.channels}.")
        self.resize  # noqa: B018 - refuses a wrong size

    @property
    def n_channels(self) -> int:
        return self.channels or 3

    @property
    def n_classes(self) -> int:
        return _n_classes(self.path, self.split, self.label)

    @property
    def row_range(self) -> RowRange:
        facts = [file.stat() for file in _files(self.path, self.split)]
        mark = " ".join(f"{fact.st_size} {fact.st_mtime_ns}" for fact in facts)
        return RowRange(Path(self.path), f"{self.split} {self.image} {self.label}", mark)

    def known_labels(self) -> Int[np.ndarray, " N"]:
        """The labels of all images, from their own column: no image is read for them."""
        return _labels(self.path, self.split, self.label)

    def __len__(self) -> int:
        return _groups(self.path, self.split)[-1].stop

    def encoded(self, i: int) -> EncodedImage:
        """The image file of row i, and its label."""
        groups = _groups(self.path, self.split)
        if not 0 <= i < groups[-1].stop:
            raise IndexError(f"{self.path} has rows 0 to {groups[-1].stop - 1} in {self.split}, not {i}.")
        stops = _stops(self.path, self.split)
        group = groups[int(np.searchsorted(stops, i, side="right"))]
        content = _images(group.file, group.number, self.image)[i - group.start]
        name = f"{group.file}: row {i - group.first}"
        if not isinstance(content, bytes):
            raise ValueError(f"{name} holds no image file in {self.image!r}: {AGAIN}, with images embedded.")
        return EncodedImage(content, int(self.known_labels()[i]), name)


class RowGroup(NamedTuple):
    """A row group: its file, number there, its rows in the split, and the row with which the file begins."""

    file: Path
    number: int
    start: int
    stop: int
    first: int


@functools.cache
def _files(path: str, split: str) -> tuple[Path, ...]:
    """The files of a split, none of them missing."""
    root = Path(path) / "data" if (Path(path) / "data").is_dir() else Path(path)
    named = [(file, SHARD.fullmatch(file.name)) for file in sorted(root.glob("*.parquet"))]
    if not named:
        raise FileNotFoundError(f"{path} holds no parquet file: give the folder with validation-00000-of-....parquet.")
    splits = sorted({match["split"] for _, match in named if match})
    mine = [(file, match) for file, match in named if match and match["split"] == split]
    if not mine:
        raise ValueError(f"{path} has no split {split!r}: choose one of {', '.join(splits) or 'none'}.")
    numbers, n = {int(match["i"]) for _, match in mine}, int(mine[0][1]["n"])
    absent = sorted(set(range(n)) - numbers)
    if absent or len(mine) != n:
        what = f"file {absent[0]} of {n} is missing" if absent else f"there are {len(mine)} files instead of {n}"
        raise ValueError(f"{path}: {what} in {split}: {AGAIN}.")
    return tuple(file for file, _ in mine)


def _arrow() -> Any:
    try:
        return importlib.import_module("pyarrow.parquet")  # large, and an extra
    except ImportError:
        raise ValueError("Reading parquet files needs pyarrow: pip install 'ssni_jax[parquet]'.") from None


@functools.cache
def _opened(file: Path) -> Any:
    arrow = _arrow()
    try:
        return arrow.ParquetFile(file, page_checksum_verification=True)
    except Exception as error:  # pyarrow raises ArrowInvalid, OSError and others
        raise ValueError(f"{file} is no whole parquet file ({one_line(error)}): {AGAIN}.") from error


@functools.cache
def _groups(path: str, split: str) -> tuple[RowGroup, ...]:
    groups, start = [], 0
    for file in _files(path, split):
        first, metadata = start, _opened(file).metadata
        for number in range(metadata.num_row_groups):
            stop = start + metadata.row_group(number).num_rows
            groups.append(RowGroup(file, number, start, stop, first))
            start = stop
    if not start:
        raise ValueError(f"{path} has no rows in {split}: {AGAIN}.")
    return tuple(groups)


@functools.cache
def _stops(path: str, split: str) -> np.ndarray:
    return np.array([group.stop for group in _groups(path, split)])


_READING = threading.Lock()  # a parquet file has one position


def _images(file: Path, group: int, column: str) -> list[bytes | None]:
    with _READING:
        return _images_of_group(file, group, column)


@functools.lru_cache(maxsize=N_GROUPS)
def _images_of_group(file: Path, group: int, column: str) -> list[bytes | None]:
    structs = _column(file, column, group).to_pylist()
    if not all(isinstance(struct, dict) and "bytes" in struct for struct in structs):
        raise ValueError(f"{file}: column {column!r} holds no image files: name the column of structs of bytes.")
    return [struct["bytes"] for struct in structs]


def _column(file: Path, name: str, group: int) -> Any:
    opened = _opened(file)
    if name not in opened.schema_arrow.names:
        raise ValueError(f"{file} has no column {name!r}: choose one of {', '.join(opened.schema_arrow.names)}.")
    try:
        return opened.read_row_group(group, [name]).column(0)
    except Exception as error:
        raise ValueError(f"{file}: row group {group} cannot be read ({one_line(error)}): {AGAIN}.") from error


@functools.cache
def _labels(path: str, split: str, column: str) -> np.ndarray:
    with _READING:
        parts = [_column(group.file, column, group.number) for group in _groups(path, split)]
    values = [value for part in parts for value in part.to_pylist()]
    for i, value in enumerate(values):
        if type(value) is not int or not -(2**31) <= value < 2**31:
            raise ValueError(f"{path}: row {i} of {split} has the label {value!r}: give whole numbers from 0.")
    return np.array(values, np.int64)


@functools.cache
def _n_classes(path: str, split: str, column: str) -> int:
    """The number of class names in the hub's description of the column; without one, what the labels say."""
    metadata = _opened(_files(path, split)[0]).schema_arrow.metadata or {}
    try:
        return len(json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"][column]["names"])
    except (ValueError, KeyError, TypeError):
        return 1 + int(_labels(path, split, column).max())
