"""The last pass of every reader: what was claimed becomes plain containers, numbers and arrays, or an error.

A walk that unshares every container meets a structure as often as any later walk will, so it bounds them all: cycles
and towers by their depth, shared subtrees by their count.
"""

from typing import Any

import numpy as np

from ssni_jax.convert.reading.allowance import Allowance
from ssni_jax.convert.reading.errors import CheckpointError, shown
from ssni_jax.convert.reading.numpy_objects import Dtype, EmptyArray
from ssni_jax.convert.reading.tensors import Tensor
from ssni_jax.convert.reading.vocabulary import StorageType, Word
from ssni_jax.core.types import Tree


def settle(claimed: Any, allowance: Allowance) -> Tree:
    """Dictionaries, lists and tuples of arrays, text, numbers and None; sets are lists, bytes are uint8 arrays."""
    return _settled(claimed, allowance, set())


def _settled(claimed: Any, allowance: Allowance, above: set[int]) -> Tree:
    allowance.spend("nodes")
    if claimed is None or isinstance(claimed, str | bool | int | float):
        return claimed
    if not isinstance(claimed, dict | list | tuple):
        return _array(claimed, allowance)
    if id(claimed) in above:
        raise CheckpointError("holds a structure that contains itself, which no weights need")
    if len(above) >= allowance.limits.depth:
        raise CheckpointError(f"is nested deeper than {allowance.limits.depth} levels, which no weights need")
    above.add(id(claimed))
    if isinstance(claimed, dict):
        settled: Tree = {key: _settled(value, allowance, above) for key, value in claimed.items()}
    else:
        items = [_settled(value, allowance, above) for value in claimed]
        settled = tuple(items) if isinstance(claimed, tuple) else items
    above.discard(id(claimed))
    return settled


def _array(claimed: Any, allowance: Allowance) -> Tree:
    if isinstance(claimed, Dtype):
        return claimed.dtype.str
    if isinstance(claimed, Word | StorageType):
        name = claimed.name if isinstance(claimed, Word) else f"a storage of {claimed.element}"
        raise CheckpointError(f"holds {shown(name)} itself as a value: save model.state_dict() alone where it was made")
    if isinstance(claimed, Tensor):
        allowance.spend("bytes", claimed.nbytes)
        return claimed.array()
    if isinstance(claimed, EmptyArray):
        claimed = claimed.array()
    elif isinstance(claimed, bytes | bytearray):
        claimed = np.frombuffer(claimed, np.uint8)
    elif isinstance(claimed, complex):
        claimed = np.asarray(claimed)
    if not isinstance(claimed, np.ndarray):
        raise CheckpointError(f"holds a {shown(type(claimed).__name__)} outside of any tensor")
    allowance.spend("bytes", claimed.nbytes)
    return claimed
