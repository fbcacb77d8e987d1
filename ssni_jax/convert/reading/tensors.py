"""Tensors as a file claims them, checked against the bytes that are really there before an array is made."""

import dataclasses
import math
import mmap
from typing import Any

import numpy as np

from ssni_jax.convert.reading.errors import CheckpointError, damaged

Content = bytes | mmap.mmap
NAMES = "float64 float32 float16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool complex64 complex128"
# numpy has no bfloat16: its bits are read as integers and widened.
STORED = {name: np.dtype(np.dtype(name).newbyteorder("<").str) for name in NAMES.split()} | {
    "bfloat16": np.dtype("<u2")
}
MAX_RANK = 32
MAX_ELEMENTS = 1 << 40


@dataclasses.dataclass(eq=False)
class Place:
    """Where the bytes of a storage stand; unknown until the reader has come to them."""

    content: Content | None = None
    start: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Storage:
    """`numel` elements in a row, from element `first` of a place; `element` is a key of `STORED`."""

    element: str
    numel: int
    place: Place
    first: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes that the elements take in the file."""
        return self.numel * STORED[self.element].itemsize

    def part(self, first: int, numel: int) -> "Storage":
        """A view of `numel` elements, as old files of PyTorch have them."""
        if not are_sizes(first, numel) or first + numel > self.numel:
            raise damaged("a view reaches beyond its storage")
        return dataclasses.replace(self, first=self.first + first, numel=numel)


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """A strided window into a storage, as claimed; strides count elements."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the array, once widened."""
        return math.prod(self.size) * (
            4 if self.storage.element == "bfloat16" else STORED[self.storage.element].itemsize
        )

    def array(self) -> np.ndarray:
        """The elements in row-major order: the file's own bytes where they lie so, else a copy."""
        storage = self.storage
        if math.prod(self.size) == 0:
            return np.zeros(self.size, np.float32 if storage.element == "bfloat16" else storage.element)
        if storage.place.content is None:
            raise damaged("the bytes of a tensor are missing")
        dtype = STORED[storage.element]
        start = storage.place.start + (storage.first + self.offset) * dtype.itemsize
        strides = [step * dtype.itemsize for step in self.stride]
        view = np.ndarray(self.size, dtype, storage.place.content, start, strides)
        return widened(view) if storage.element == "bfloat16" else np.require(view, requirements=("C", "A"))


def tensor(storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    """The claim if all of it lies inside its storage, and no element is told twice to make it larger."""
    if not isinstance(storage, Storage) or not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise damaged("a tensor is not described by a storage, a size and a stride")
    if not are_sizes(offset, *size, *stride) or not len(size) == len(stride) <= MAX_RANK:
        raise damaged("a tensor has an offset, a size or a stride that is negative or no number")
    if math.prod(max(n, 1) for n in size) > MAX_ELEMENTS:
        raise damaged(f"a tensor claims the shape {list(size)}")
    numel = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if numel and last >= storage.numel:
        raise damaged(f"a tensor of shape {list(size)} reaches element {last} of a storage of {storage.numel}")
    if numel > storage.numel:
        raise CheckpointError(
            f"holds an expanded tensor: shape {list(size)} over a storage of {storage.numel} elements; "
            "save it again after .contiguous()"
        )
    return Tensor(storage, offset, size, stride)


def flat(content: Content, element: str, start: int, shape: tuple[int, ...]) -> Tensor:
    """The tensor of `shape` whose row-major elements begin at byte `start`."""
    if not are_sizes(*shape):
        raise damaged("a tensor has a size that is negative or no number")
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return tensor(Storage(element, math.prod(shape), Place(content, start)), 0, shape, tuple(strides))


def widened(bits: np.ndarray) -> np.ndarray:
    """bfloat16 bits as the float32 numbers they stand for, exactly."""
    return np.asarray(np.left_shift(bits, 16, dtype=np.uint32)).view(np.float32)


def are_sizes(*values: Any) -> bool:
    """Whether all are integers (no booleans) that a 64-bit machine could count to."""
    return all(type(value) is int and 0 <= value < 1 << 62 for value in values)
