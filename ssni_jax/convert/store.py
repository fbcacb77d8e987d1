"""Stored networks: parameters as safetensors, everything else as JSON beside them, tied together by a sha256."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ssni_jax.core.fingerprint import fingerprint


def save_network(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Writes `path`.safetensors and `path`.json; `about` says the architecture, licence, date and provenance."""
    payload = save({name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())})
    marks = {"sha256": hashlib.sha256(payload).hexdigest(), "fingerprint": fingerprint(dict(arrays))}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".safetensors").write_bytes(payload)
    path.with_suffix(".json").write_text(json.dumps({**about, **marks}, indent=1) + "\n")


def read_about(path: Path) -> dict[str, Any]:
    """The JSON part of a stored network."""
    file = path.with_suffix(".json")
    if not file.is_file():
        raise FileNotFoundError(f"There is no stored network at {path} ({file.name} is missing): check the name.")
    try:
        about = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is not valid JSON ({error}): restore it from its source.") from None
    missing = [key for key in ("architecture", "sha256", "fingerprint") if key not in about]
    if missing:
        raise ValueError(f"{file} lacks {', '.join(missing)}: it does not describe a stored network.")
    return about


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The parameters of a stored network, refused unless their bytes are the ones its JSON was written for."""
    expected = read_about(path)["sha256"]
    file = path.with_suffix(".safetensors")
    if not file.is_file():
        raise FileNotFoundError(f"The weights {file} are missing: restore them from where {path.name}.json came from.")
    payload = file.read_bytes()
    found = hashlib.sha256(payload).hexdigest()
    if found != expected:
        raise ValueError(f"{file} is corrupted (sha256 {found[:12]}, expected {expected[:12]}): restore the file.")
    try:
        return load(payload)
    except SafetensorError as error:
        raise ValueError(f"{file} is not a safetensors file ({error}): restore it from its source.") from None
