"""A checkpoint in several files, as Hugging Face's libraries write it: an index in JSON has the file of each tensor."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ssni_jax.convert.reading.errors import CheckpointError, damaged, shown
from ssni_jax.core.types import Tree

ENDING = ".index.json"
INDEX_BYTES = 64 << 20
LISTED = 3


def index_in(folder: Path) -> Path:
    """The one index of a folder, that of its safetensors where it has both kinds."""
    indices = sorted(folder.glob(f"*{ENDING}"))
    indices = [path for path in indices if path.name.endswith(f".safetensors{ENDING}")] or indices
    if not indices:
        raise CheckpointError(f"is a folder without an index of shards (*{ENDING}): give the checkpoint file inside it")
    if len(indices) > 1:
        names = " and ".join(shown(path.name) for path in indices[:LISTED])
        raise CheckpointError(f"is a folder with several indices of shards: give one of {names}")
    return indices[0]


def is_index(path: Path) -> bool:
    """Whether a file is to be an index: no checkpoint is JSON."""
    return path.suffix == ".json"


def files_of(path: Path) -> list[Path]:
    """The files that a checkpoint consists of: its index and every shard once, or itself."""
    index = index_in(path) if path.is_dir() else path
    shards = sorted(set(weight_map(index).values())) if is_index(index) else []
    return [index, *(index.parent / shard for shard in shards)]


def read(index: Path, read_file: Callable[[Path], Tree]) -> dict[str, np.ndarray]:
    """The tensors of all shards by name; each shard must hold those that the index says, and no others."""
    tensors: dict[str, np.ndarray] = {}
    held = weight_map(index)
    for shard in sorted(set(held.values())):
        tensors |= _shard(index.parent / shard, {name for name, file in held.items() if file == shard}, read_file)
    return tensors


def weight_map(index: Path) -> dict[str, str]:
    """The file of every tensor, by its name; a file is one in the folder of the index."""
    if index.stat().st_size > INDEX_BYTES:
        raise CheckpointError(f"has {index.stat().st_size:,} bytes, but an index has at most {INDEX_BYTES:,}")
    try:
        content = json.loads(index.read_bytes(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise damaged(f"its index is no sound JSON ({shown(error)})") from None
    held = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(held, dict) or not held or not all(isinstance(file, str) for file in held.values()):
        raise CheckpointError("is JSON without a weight_map of tensors and files, so no index of shards")
    outside = next((file for file in held.values() if not _is_plain(file)), None)
    if outside is not None:
        raise CheckpointError(f"names the shard {shown(outside)}, which may leave its folder: do not load it")
    return held


def _is_plain(file: str) -> bool:
    return file not in ("", ".", "..") and not {"/", "\\", ":", "\0"} & set(file) and not is_index(Path(file))


def _shard(path: Path, promised: set[str], read_file: Callable[[Path], Tree]) -> Mapping[str, np.ndarray]:
    """The tensors of one file."""
    name = shown(path.name)
    if not path.is_file():
        raise CheckpointError(f"names the shard {name}, which is not beside it: download that file too")
    try:
        tensors = read_file(path)
    except CheckpointError as error:
        raise CheckpointError(f"has a shard {name} that {error}") from None
    if not isinstance(tensors, Mapping) or not all(isinstance(array, np.ndarray) for array in tensors.values()):
        raise CheckpointError(f"has a shard {name} that holds something else than tensors by name")
    if promised != set(tensors):
        raise CheckpointError(
            f"does not fit its shard {name}, which {_difference(promised, set(tensors))}: download all files again"
        )
    return tensors


def _difference(promised: set[str], held: set[str]) -> str:
    lacking, more = sorted(promised - held), sorted(held - promised, key=str)
    parts = {"lacks": lacking, "has besides": more}
    return " and ".join(f"{verb} {', '.join(map(shown, names[:LISTED]))}" for verb, names in parts.items() if names)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise damaged("its index has a name twice")
    return content
