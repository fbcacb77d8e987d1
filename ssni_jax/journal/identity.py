"""The identity of an experiment: what must be equal for two runs to share their records."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax

from ssni_jax.core.describe import describe, public_path
from ssni_jax.core.fingerprint import fingerprint
from ssni_jax.files.atomic import plain

FORMAT = 2  # of workdirs; the first release had none
_ABSENT = object()


def identity_of(experiment: Any, networks: Mapping[str, Any], sources: Mapping[str, Any]) -> dict[str, Any]:
    """The described experiment with fingerprints of its networks and of the content of its data, and their hash.

    Classes are named by their public import path, so that a moved module is not another experiment. Fields that only
    add work (GROWS) or change its speed (SPEED) are left out.
    """
    described = describe(experiment, public_path)
    kept = {name: value for name, value in described.items() if name not in (*experiment.GROWS, *experiment.SPEED)}
    prints = {name: None if network is None else fingerprint(network) for name, network in networks.items()}
    data = {name: None if source is None else source.fingerprint for name, source in sources.items()}
    content = plain({"format": FORMAT, **kept, "networks": prints, "data": data})
    return content | {"hash": digest_of(content)}


def digest_of(content: Any) -> str:
    """The short hash of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(plain(content), sort_keys=True).encode()).hexdigest()[:12]


def precision_of(experiment: Any) -> Any:
    """The context in which an experiment computes: its precision of matrix products."""
    precision = experiment.matmul_precision
    return jax.default_matmul_precision(None if precision == "default" else precision)


def first_difference(stored: Any, current: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The dotted name of the first entry that differs between two plain values, with both sides; None where equal."""
    if isinstance(stored, list) and isinstance(current, list) and len(stored) == len(current):
        stored, current = dict(enumerate(stored)), dict(enumerate(current))
    if not (isinstance(stored, dict) and isinstance(current, dict)):
        return None if stored == current else (key or "the experiment", stored, current)
    for name in [*current, *(name for name in stored if name not in current)]:
        inner = f"{key}.{name}" if key else str(name)
        difference = first_difference(stored.get(name, _ABSENT), current.get(name, _ABSENT), inner)
        if difference is not None:
            return difference
    return None


def shown(value: Any) -> str:
    """One side of a difference, for a message."""
    return "nothing" if value is _ABSENT else json.dumps(value)
