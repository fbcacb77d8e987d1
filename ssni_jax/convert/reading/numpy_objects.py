"""numpy's own pickles, numbers and booleans only: a dtype and an array come empty and are filled by their state."""

import math
import re
from typing import Any

import numpy as np

from ssni_jax.convert.reading.errors import CheckpointError, damaged, shown
from ssni_jax.convert.reading.tensors import are_sizes

PLAIN = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248]|c8|c16)", re.ASCII)


class Dtype:
    """A dtype by its code ("f4"), completed by its byte order."""

    def __init__(self, code: Any = None, *_: Any):
        if not isinstance(code, str) or not PLAIN.fullmatch(code):
            raise CheckpointError(
                f"holds a numpy array of type {shown(code)}: only numbers and booleans are read; save the weights alone"
            )
        self.dtype = np.dtype(code)

    def set_state(self, state: Any) -> None:
        """Takes the byte order, second in numpy's state."""
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise damaged("a numpy dtype has no byte order")
        self.dtype = self.dtype.newbyteorder(order)


class EmptyArray:
    """What numpy's `_reconstruct` makes, whatever its arguments: an array that waits for its state."""

    def __init__(self, *_: Any):
        self.found: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        """Takes (version, shape, dtype, is_fortran, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise damaged("a numpy array has no state of five parts")
        _, shape, dtype, is_fortran, raw = state
        self.found = from_buffer(raw, dtype, shape, "F" if is_fortran is True else "C")

    def array(self) -> np.ndarray:
        """The array, which must have come."""
        if self.found is None:
            raise damaged("a numpy array has no content")
        return self.found


def from_buffer(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> np.ndarray:
    """The array of exactly these bytes, in this machine's byte order."""
    if isinstance(raw, str):
        raw = latin1(raw)
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, Dtype) or order not in ("C", "F"):
        raise damaged("a numpy array is not described by bytes, a dtype and an order")
    if not isinstance(shape, tuple) or not are_sizes(*shape):
        raise damaged("a numpy array has a size that is negative or no number")
    if math.prod(shape) * dtype.dtype.itemsize != len(raw):
        raise damaged(f"a numpy array of shape {list(shape)} has {len(raw)} bytes")
    found = np.frombuffer(raw, dtype.dtype).reshape(shape, order=order)
    return np.ascontiguousarray(found, found.dtype.newbyteorder("=")).reshape(shape)


def scalar(dtype: Any, raw: Any = b"") -> bool | int | float | complex:
    """A numpy number as Python's."""
    return from_buffer(raw, dtype, ()).item()


def latin1(text: Any, encoding: Any = "latin1") -> bytes:
    """`_codecs.encode` as Python 2's protocol uses it: bytes written as text."""
    if not isinstance(text, str) or encoding != "latin1":
        raise damaged("bytes are written as text in another encoding than latin1")
    return text.encode("latin1")
