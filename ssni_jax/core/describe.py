"""Values as plain JSON and back: what a result file says about the run that made it, and what a stored network is."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


def describe(value: Any) -> Any:
    """Dataclasses become dicts with their class name under "kind"; sequences become lists; numbers stay numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: describe(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [describe(item) for item in value]
    if isinstance(value, bool | int | float | str | None):
        return value
    return np.asarray(value).tolist()


def rebuild(description: Any, kinds: Mapping[str, type]) -> Any:
    """The inverse of `describe` for the classes in `kinds`; another kind is refused by name."""
    if isinstance(description, list):
        return tuple(rebuild(item, kinds) for item in description)
    if not isinstance(description, dict):
        return description
    kind = str(description.get("kind"))
    if kind not in kinds:
        raise ValueError(f"{kind!r} is not one of {', '.join(sorted(kinds))}: this version cannot read it.")
    return kinds[kind](**{key: rebuild(item, kinds) for key, item in description.items() if key != "kind"})
