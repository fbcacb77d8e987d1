"""Stored networks: parameters as safetensors, everything else as JSON beside them, tied together by a sha256."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ssni_jax.core.fingerprint import fingerprint

DTYPES = {"F16": "float16", "F32": "float32"}


class Weights(Mapping[str, np.ndarray]):
    """The parameters in a safetensors file, float16 or float32, each read when it is asked for."""

    def __init__(self, file: Path):
        try:
            opened = safe_open(file, framework="numpy")
            self._slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118  no mapping
        except SafetensorError as error:
            raise ValueError(f"{file} is not a safetensors file ({error}): restore it from its source.") from None
        _check_dtypes(file, {name: part.get_dtype() for name, part in self._slices.items()}, DTYPES)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.part(name, ())

    def __contains__(self, name: object) -> bool:
        return name in self._slices

    def __iter__(self) -> Iterator[str]:
        return iter(self._slices)

    def __len__(self) -> int:
        return len(self._slices)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one parameter, without reading it."""
        return tuple(self._slices[name].get_shape())

    def part(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        """One parameter's values at `index`, a slice of each of its first axes; only they are read."""
        return np.asarray(self._slices[name][index])


def save_network(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Writes `path`.safetensors and `path`.json; `about` says the architecture, licence, date and provenance.

    A process killed on the way leaves the network that was there, none, or the new one, but never parts of one.
    """
    # safetensors writes memory as it lies, so a transposed view would be stored with its values in the wrong places.
    arrays = {name: np.asarray(array, order="C") for name, array in sorted(arrays.items())}
    file, note = stored_file(path, ".safetensors"), stored_file(path, ".json")
    _check_dtypes(file, {name: str(array.dtype) for name, array in arrays.items()}, DTYPES.values())
    path.parent.mkdir(parents=True, exist_ok=True)
    with _part_of(file) as new_file, _part_of(note) as new_note:
        _write_arrays(new_file, arrays)
        marks = {"sha256": sha256_of(new_file), "fingerprint": fingerprint(arrays)}
        new_note.write_text(json.dumps({**about, **marks}, indent=1) + "\n")
        shutil.copymode(new_note, new_file)  # safetensors makes files that only their owner may read
        _flush(new_file)
        _flush(new_note)
        note.unlink(missing_ok=True)  # new weights beside the old note would count as corrupted
        os.replace(new_file, file)
        os.replace(new_note, note)


def stored_file(path: Path, ending: str) -> Path:
    """A file of the network at `path`, whose name may itself hold dots."""
    return path.with_name(path.name + ending)


def read_about(path: Path) -> dict[str, Any]:
    """The JSON part of a stored network."""
    file = stored_file(path, ".json")
    if not file.is_file():
        raise FileNotFoundError(f"There is no stored network at {path} ({file.name} is missing): check the name.")
    try:
        about = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is not valid JSON ({error}): restore it from its source.") from None
    known = about if isinstance(about, dict) else {}
    missing = [key for key in ("architecture", "sha256", "fingerprint") if key not in known]
    if missing:
        raise ValueError(f"{file} lacks {', '.join(missing)}: it does not describe a stored network.")
    return known


def read_arrays(path: Path) -> Weights:
    """The parameters of a stored network, refused unless their bytes are the ones its JSON was written for."""
    expected = str(read_about(path)["sha256"])
    file = stored_file(path, ".safetensors")
    if not file.is_file():
        raise FileNotFoundError(f"The weights {file} are missing: restore them from where {path.name}.json came from.")
    found = sha256_of(file)
    if found != expected:
        raise ValueError(f"{file} is corrupted (sha256 {found[:12]}, expected {expected[:12]}): restore the file.")
    return Weights(file)


def sha256_of(file: Path) -> str:
    """The hash of a file's content."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_dtypes(file: Path, dtypes: Mapping[str, str], allowed: Any) -> None:
    odd = [f"{name} ({dtype})" for name, dtype in dtypes.items() if dtype not in allowed]
    if odd:
        raise ValueError(f"{file} would hold {', '.join(odd)}: parameters are stored as float32 or float16.")


@contextmanager
def _part_of(file: Path) -> Iterator[Path]:
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _write_arrays(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    try:
        save_file(dict(arrays), file)
    except SafetensorError as error:
        raise OSError(f"Could not write {file} ({error}): free space on its disk, and run it again.") from None


def _flush(file: Path) -> None:
    with open(file, "rb+") as stream:
        os.fsync(stream.fileno())
