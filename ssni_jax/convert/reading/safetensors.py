"""safetensors: the library checks that the header is sound and covers the file; the tensors are views of the file."""

import json
import mmap
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ssni_jax.convert.reading.errors import CUT_SHORT, CheckpointError, damaged, shown
from ssni_jax.convert.reading.tensors import Tensor, flat

MAX_HEADER = 100_000_000
ELEMENTS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
    "C64": "complex64",
}


def header_bytes(content: mmap.mmap) -> int:
    """What the first eight bytes claim as the length of the header."""
    return int.from_bytes(content[:8], "little")


def read(content: mmap.mmap, path: Path) -> dict[str, Tensor]:
    """The tensors by name; `path` is where the content comes from, for the library opens files itself."""
    length = header_bytes(content)
    if length > MAX_HEADER or 8 + length > len(content):
        raise CheckpointError(
            f"claims a safetensors header of {length:,} bytes and has {len(content):,}: download it again"
        )
    try:
        with safe_open(path, framework="np") as checked:
            names = set(checked.keys())
    except SafetensorError as error:
        if "incomplete metadata" in str(error):
            raise CheckpointError(CUT_SHORT) from None
        raise damaged(f"its safetensors header is not sound ({shown(error)})") from None
    header = json.loads(content[8 : 8 + length], object_pairs_hook=_once)
    return {name: _tensor(header[name], content, 8 + length) for name in sorted(names)}


def _tensor(entry: dict[str, Any], content: mmap.mmap, start: int) -> Tensor:
    if entry["dtype"] not in ELEMENTS:
        raise CheckpointError(f"holds tensors of type {shown(entry['dtype'])}: convert them to float32 first")
    return flat(content, ELEMENTS[entry["dtype"]], start + entry["data_offsets"][0], tuple(entry["shape"]))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise damaged("its safetensors header has a name twice")
    return found
