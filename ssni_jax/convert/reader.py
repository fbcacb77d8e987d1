"""Reads released checkpoints without running anything in them: PyTorch (both formats), EDM, safetensors, flax.

A checkpoint of several files is given by its index (`model.safetensors.index.json`), or by the folder that holds it.
"""

import mmap
import re
from pathlib import Path

from ssni_jax.convert.reading import flax_msgpack, plain_pickle, safetensors, shards, torch_legacy, torch_zip
from ssni_jax.convert.reading.allowance import Allowance, Limits
from ssni_jax.convert.reading.errors import CheckpointError, shown
from ssni_jax.convert.reading.nonfinite import nonfinite
from ssni_jax.convert.reading.settle import settle
from ssni_jax.convert.reading.suspicious import refuse_suspicious, unknown
from ssni_jax.core.types import Tree

__all__ = ["CheckpointError", "Limits", "nonfinite", "read_checkpoint"]

# Protocol 0 and 1 have no signature: a class, an object or a container at the start.
OLD_PICKLE = re.compile(rb"\(*[ci][\w.]+\n[\w.]+\n|\(+[SVIL]['\"\d].*\n|\([dl]p?\d*\n|[}\]]q")
MSGPACK_MAPS = frozenset([*range(0x81, 0x90), 0xDE, 0xDF])


def read_checkpoint(path: Path, *, limits: Limits = Limits()) -> Tree:
    """Nested dicts, lists and tuples of arrays, text, numbers and None.

    The format is told from the content. Arrays are read-only and mostly parts of the file: keep it unchanged while they
    are in use. bfloat16 becomes float32; objects become {"class_name", "state"}. A file that is damaged, or asks for
    anything that weights don't need, raises CheckpointError.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no checkpoint at {path}: check the name.")
    try:
        return _read(path, limits)
    except CheckpointError as error:
        raise CheckpointError(f"{path} {error}") from None
    except MemoryError:
        raise CheckpointError(f"{path} needs more memory than this machine has") from None
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise CheckpointError(f"{path} is damaged ({shown(error)}): download it again") from error


def _read(path: Path, limits: Limits) -> Tree:
    if path.is_dir() or shards.is_index(path):
        index = shards.index_in(path) if path.is_dir() else path
        return shards.read(index, lambda shard: _read_file(shard, limits))
    return _read_file(path, limits)


def _read_file(path: Path, limits: Limits) -> Tree:
    if path.stat().st_size == 0:
        raise CheckpointError("is empty: download it again")
    allowance = Allowance(limits, path.stat().st_size)
    with path.open("rb") as file:
        # Never closed by hand: the arrays are parts of it, and the last one to go takes it along.
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return settle(_parsed(content, path, allowance), allowance)


def _parsed(content: mmap.mmap, path: Path, allowance: Allowance) -> Tree:
    refuse_suspicious(content)
    if content[:4] == b"PK\x03\x04":
        return torch_zip.read(content, allowance)
    if content[: len(torch_legacy.SIGNATURE)] == torch_legacy.SIGNATURE:
        return torch_legacy.read(content, allowance)
    if (content[0] == 0x80 and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")) or OLD_PICKLE.match(
        content[:1024]
    ):
        return plain_pickle.read(content, allowance)
    if content[8:9] == b"{" and safetensors.header_bytes(content) < 1 << 48:
        return safetensors.read(content, path)
    if content[0] in MSGPACK_MAPS:
        return flax_msgpack.read(content, allowance)
    raise unknown(content)
