"""PyTorch's format before 1.6, and of storages inside other pickles: five pickles in a row, then the storages."""

import io
import mmap
import struct
from collections.abc import Mapping
from typing import Any

from ssni_jax.convert.reading.allowance import Allowance
from ssni_jax.convert.reading.errors import CUT_SHORT, CheckpointError, damaged, shown
from ssni_jax.convert.reading.pickles import run
from ssni_jax.convert.reading.storages import Storages
from ssni_jax.convert.reading.tensors import Content, Place, Storage
from ssni_jax.core.types import Tree

MAGIC = 0x1950A86A20F9469CFC6C
# How the magic number begins a file: protocol 2, LONG1 of ten bytes, STOP.
SIGNATURE = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little") + b"."
PROTOCOL = 1001
COUNT = struct.Struct("<q")


def read(content: Content, allowance: Allowance, words: Mapping[str, Any] = {}) -> Tree:
    """The object of the file; its tensors are claims whose bytes are known once this returns."""
    stream = content if isinstance(content, mmap.mmap) else io.BytesIO(content)
    stream.seek(0)
    _check_header(run(stream, allowance), run(stream, allowance), run(stream, allowance))
    storages = Storages(lambda key: Place())
    found = run(stream, allowance, storages, words)
    _locate(run(stream, allowance), storages.found, content, stream.tell())
    return found


def _check_header(magic: Any, protocol: Any, system: Any) -> None:
    if magic != MAGIC or protocol != PROTOCOL or not isinstance(system, dict):
        raise CheckpointError("is a PyTorch file of an unknown version: load it in PyTorch and save it again")
    if system.get("little_endian") is not True:
        raise CheckpointError("was written on a big-endian machine: load it in PyTorch and save it again")


def _locate(keys: Any, storages: Mapping[str, Storage], content: Content, start: int) -> None:
    """Fills the places in: after the pickles, each storage is its element count and its elements."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or len(set(keys)) != len(keys):
        raise damaged("its list of storages is no list of different names")
    for key in keys:
        if key not in storages:
            raise damaged(f"it lists the storage {shown(key)}, which no tensor uses")
        if start + COUNT.size > len(content):
            raise CheckpointError(CUT_SHORT)
        (numel,) = COUNT.unpack(content[start : start + COUNT.size])
        storage = storages[key]
        if numel != storage.numel:
            raise damaged(f"the storage {shown(key)} has {numel} elements where its tensors expect {storage.numel}")
        start += COUNT.size
        if start + storage.nbytes > len(content):
            raise CheckpointError(CUT_SHORT)
        storage.place.content, storage.place.start = content, start
        start += storage.nbytes
