"""flax.serialization's msgpack: arrays are extension 1, complex numbers 2, numpy scalars 3 (flax 0.12)."""

import mmap
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np

from ssni_jax.convert.reading.allowance import Allowance
from ssni_jax.convert.reading.containers import put
from ssni_jax.convert.reading.errors import CUT_SHORT, CheckpointError, damaged, shown
from ssni_jax.convert.reading.tensors import STORED, Tensor, are_sizes, flat
from ssni_jax.core.types import Tree

CHUNKED = "__msgpack_chunked_array__"
# msgpack makes room for the length that a container claims before it reads the items.
MAX_LENGTH = 1 << 15


def read(content: mmap.mmap, allowance: Allowance) -> Tree:
    """The state dictionary of the file; arrays that flax had to cut are one again."""
    return _unpacked(
        content,
        ext_hook=_extension,
        object_pairs_hook=lambda pairs: _dictionary(pairs, allowance),
        strict_map_key=False,
    )


def _unpacked(packed: Any, **hooks: Any) -> Any:
    try:
        return msgpack.unpackb(
            packed,
            max_str_len=len(packed),
            max_bin_len=len(packed),
            max_ext_len=len(packed),
            max_array_len=min(len(packed), MAX_LENGTH),
            max_map_len=min(len(packed), MAX_LENGTH),
            **hooks,
        )
    except CheckpointError:
        raise
    except msgpack.ExtraData:
        raise damaged("its msgpack ends before the file does") from None
    except msgpack.StackError:
        raise CheckpointError("is nested deeper than msgpack allows, which no weights need") from None
    except ValueError as error:
        raise _explained(error) from None


def _explained(error: ValueError) -> CheckpointError:
    if "incomplete" in str(error):
        return CheckpointError(CUT_SHORT)
    return damaged(f"its msgpack cannot be taken apart ({shown(error)})")


def _extension(code: int, packed: bytes) -> Any:
    decode: Callable[[bytes], Any] | None = {1: _array, 2: _complex, 3: _scalar}.get(code)
    if decode is None:
        raise CheckpointError(f"uses the msgpack extension {code}, which flax does not write")
    return decode(packed)


def _array(packed: bytes) -> Tensor:
    """The tensor of (shape, dtype name, row-major bytes)."""
    parts = _unpacked(packed, raw=True)
    if not isinstance(parts, list) or len(parts) != 3 or not all(isinstance(part, bytes) for part in parts[1:]):
        raise damaged("an array is not described by a shape, a type and bytes")
    shape, dtype, raw = parts
    name = dtype.decode("latin1")
    if name not in STORED:
        raise CheckpointError(
            f"holds an array of type {shown(name)}: only plain numbers are read; save the weights alone"
        )
    if not isinstance(shape, list) or not are_sizes(*shape):
        raise damaged("an array has a size that is negative or no number")
    found = flat(raw, name, 0, tuple(shape))
    if found.storage.nbytes != len(raw):
        raise damaged(f"an array of shape {shape} and type {name} has {len(raw)} bytes")
    return found


def _scalar(packed: bytes) -> bool | int | float | complex:
    found = _array(packed)
    if found.size != ():
        raise damaged(f"a number has the shape {list(found.size)}")
    return found.array().item()


def _complex(packed: bytes) -> complex:
    parts = _unpacked(packed)
    if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, float) for part in parts):
        raise damaged("a complex number is not two floats")
    return complex(*parts)


def _dictionary(pairs: list[tuple[Any, Any]], allowance: Allowance) -> Any:
    found: dict[Any, Any] = {}
    for key, value in pairs:
        put(found, key, value, allowance)
    return _joined(found) if CHUNKED in found else found


def _joined(chunked: dict[Any, Any]) -> np.ndarray:
    """The array that flax cut into flat pieces, because msgpack ends at 2 GiB."""
    shape, pieces = _in_order(chunked.get("shape")), _in_order(chunked.get("chunks"))
    if not are_sizes(*shape) or not pieces or not all(isinstance(piece, Tensor) for piece in pieces):
        raise damaged("an array in pieces has no shape or no pieces")
    return np.concatenate([piece.array() for piece in pieces]).reshape(shape)


def _in_order(numbered: Any) -> tuple:
    """The values of {"0": …, "1": …}."""
    if not isinstance(numbered, dict) or set(numbered) != {str(i) for i in range(len(numbered))}:
        raise damaged("an array in pieces has pieces that are not numbered")
    return tuple(numbered[str(i)] for i in range(len(numbered)))
