"""A prepared tensorflow-datasets directory as a source; reading it needs neither TensorFlow nor the network."""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from ssni_jax.core.pytree import ADDED
from ssni_jax.data.checked_rows import CheckedRows, RowRange
from ssni_jax.data.encoded import EncodedImage
from ssni_jax.data.example import value_of
from ssni_jax.data.records import RecordImages
from ssni_jax.data.resizing import Resizing, StoredSize
from ssni_jax.data.shards import AGAIN, opened
from ssni_jax.data.splits import Slice, split_slice
from ssni_jax.data.tfds_info import FEATURES, INFO, Described, described


@dataclasses.dataclass(frozen=True)
class TfdsDirectory(RecordImages):
    """One split of a directory that holds dataset_info.json and its shards, tfrecord or array_record.

    Features "image" and "label" are read, and every checksum is compared. With `size`, images are resized and cropped
    to a square. `fingerprint` is the sha256 of the image files and labels of the rows, the same in both formats.
    """

    path: str
    split: str = "test"
    """One split or a slice of it: test, validation[:5000], test[-500:], train[10%:20%]."""
    size: int | None = None
    resizing: Resizing = dataclasses.field(default=StoredSize(), metadata=ADDED)
    """Resize pictures as a paper or library does, instead of `size`: ResizeCrop(256, 224), AdmCrop(256) and others."""

    def __post_init__(self):
        self.resize  # noqa: B018 - refuses a wrong size

    @property
    def n_channels(self) -> int:
        return described(self.path).n_channels

    @property
    def n_classes(self) -> int:
        return described(self.path).n_classes

    @property
    def row_range(self) -> RowRange:
        rows, root = _slice(self.path, self.split), Path(self.path)
        shards = _shards(self.path, rows.name)
        files = [name for name, first, n in shards if first < rows.stop and first + n > rows.start]
        facts = [(root / name).stat() for name in (INFO, FEATURES, *files) if (root / name).is_file()]
        mark = " ".join(f"{fact.st_size} {fact.st_mtime_ns}" for fact in facts)
        return RowRange(root, f"{rows.name} {rows.start} {rows.stop}", mark)

    def checked(self) -> CheckedRows:
        """What is known of all rows; refused is also a shard that holds rows where none are said to be."""
        info = described(self.path)
        for name, _, n in _shards(self.path, _slice(self.path, self.split).name):
            if n == 0 and (Path(self.path) / name).is_file():
                opened(Path(self.path) / name, info.file_format, 0)
        return super().checked()

    def __len__(self) -> int:
        rows = _slice(self.path, self.split)
        return rows.stop - rows.start

    def encoded(self, i: int) -> EncodedImage:
        """The image file of row i of the slice, and its label."""
        rows, info = _slice(self.path, self.split), described(self.path)
        if not 0 <= i < rows.stop - rows.start:
            raise IndexError(f"{self.path} has rows 0 to {rows.stop - rows.start - 1} in {self.split}, not {i}.")
        shard, record = _place(info, rows, i)
        split = info.splits[rows.name]
        file = Path(self.path) / split.files[shard]
        content = opened(file, info.file_format, split.lengths[shard]).read(record)
        return _image(content, f"{file}: record {record}")


def _image(record: bytes, name: str) -> EncodedImage:
    try:
        image, label = value_of(record, "image"), value_of(record, "label")
    except ValueError as error:
        raise ValueError(f"{name} is no example of an image and a label ({error}): {AGAIN}.") from error
    if not isinstance(image, bytes) or not isinstance(label, int):
        raise ValueError(f"{name} holds no image file and number as image and label: prepare it as tfds does.")
    return EncodedImage(image, label, name)


@functools.cache
def _slice(path: str, split: str) -> Slice:
    sizes = {name: sum(files.lengths) for name, files in described(path).splits.items()}
    return split_slice(split, sizes, path)


def _shards(path: str, split: str) -> list[tuple[str, int, int]]:
    """The shards of a split: file, number of the first row, number of rows."""
    files, lengths = described(path).splits[split]
    firsts = np.cumsum([0, *lengths])[:-1].tolist()
    return list(zip(files, firsts, lengths, strict=True))


@functools.cache
def _ends(lengths: tuple[int, ...]) -> np.ndarray:
    return np.cumsum(lengths)


def _place(info: Described, rows: Slice, i: int) -> tuple[int, int]:
    """The shard that holds row i of a slice, and the number of its record there."""
    lengths = info.splits[rows.name].lengths
    row = rows.start + i
    shard = int(np.searchsorted(_ends(lengths), row, side="right"))
    return shard, row - int(_ends(lengths)[shard] - lengths[shard])
