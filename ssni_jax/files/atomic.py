"""Writing files so that a reader sees the old content or the new content, whatever happens meanwhile."""

import errno
import io
import json
import math
import os
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ssni_jax.files.remote import RemotePath

NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # of mounted object stores, for example
REMEDY = "delete it and run its command again"
LONGEST_WHOLE = 19  # characters of a whole number: 64 bits


def write_bytes(path: Path, content: bytes) -> None:
    """`path` holds `content` as a whole or stays as it was: a temporary file beside it, fsync, os.replace.

    On a store, where a file appears as a whole, it is put there.
    """
    if isinstance(path, RemotePath):
        path.write_bytes(content)
        return
    try:
        with _part(path, content) as part:
            os.replace(part, path)
    except OSError as error:
        raise disk_error(path, error) from error


def create_bytes(path: Path, content: bytes) -> bool:
    """Like `write_bytes`, but never replaces a file: False, and nothing written, where `path` exists already.

    A store that cannot decide this is asked before: what two processes create there at once, the later one replaces.
    """
    if isinstance(path, RemotePath):
        return path.create_bytes(content) if path.is_exclusive else not path.exists() and path.write_bytes(content) >= 0
    try:
        with _part(path, content) as part:
            try:
                os.link(part, path)
            except OSError as error:
                if error.errno not in NO_HARD_LINKS:
                    raise
                _create(path, content)
        return True
    except FileExistsError:
        return False
    except OSError as error:
        raise disk_error(path, error) from error


@contextmanager
def _part(path: Path, content: bytes) -> Iterator[Path]:
    """A temporary file beside `path` that holds `content` and is on disk; removed on leaving."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _create(part, content)
        yield part
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _create(path: Path, content: bytes) -> None:
    """A new file, removed again if writing fails; on a mounted object store it appears when it is closed."""
    with open(path, "xb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                path.unlink()
            raise


def write_json(path: Path, value: Any) -> None:
    """`value` as indented JSON; arrays become lists, and a number that is not finite becomes null."""
    write_bytes(path, _as_json(value))


def create_json(path: Path, value: Any) -> bool:
    """Like `write_json`, but never replaces a file; False where there is one."""
    return create_bytes(path, _as_json(value))


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """The arrays as one compressed .npz."""
    content = io.BytesIO()
    np.savez_compressed(content, **{name: np.asarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]
    write_bytes(path, content.getvalue())


def _as_json(value: Any) -> bytes:
    return (json.dumps(plain(value), indent=2, allow_nan=False) + "\n").encode()


def read_arrays(path: Path, remedy: str = REMEDY) -> dict[str, np.ndarray]:
    """The arrays of an .npz file; a damaged one is named with the remedy."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return dict(stored)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as an .npz file ({error}): {remedy}.") from error


def read_json(path: Path, remedy: str = REMEDY) -> Any:
    """The value of a JSON file; a damaged one is named with the remedy."""
    try:
        return parse_json(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}): {remedy}.") from error


def parse_json(content: bytes, is_finite: bool = True) -> Any:
    """The value of a JSON text without whole numbers beyond 64 bits and, with `is_finite`, without NaN and infinity.

    Raises ValueError, or RecursionError for a text that is nested too deeply.
    """
    number = _finite if is_finite else float
    return json.loads(content, parse_constant=number, parse_float=number, parse_int=_whole)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{text[:20]} is no finite number")
    return float(text)


def _whole(text: str) -> int:
    if len(text) > LONGEST_WHOLE:
        raise ValueError(f"{text[:20]}... is no 64-bit number")
    return int(text)


def plain(value: Any) -> Any:
    """`value` as JSON spells it: string keys, lists, Python numbers, null for NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def disk_error(path: Path, error: OSError) -> OSError:
    """One sentence for a failed write: the file, the cause and the remedy."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free space on its disk" if full else "make it writable"
    return OSError(f"Could not write {path} ({error.strerror}): {remedy} and run the same command again to resume.")
