"""Values as plain JSON and back: what a result file says about the run that made it, and what a stored network is."""

import dataclasses
import hashlib
import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

LARGEST_SHOWN = 64  # values of an array that are shown one by one


def describe(value: Any, name: Callable[[type], str] | None = None) -> Any:
    """Dataclasses become dicts with their class name under "kind"; sequences become lists; numbers stay numbers.

    `name` gives the name of a class, by default its own; `public_path` tells classes of equal names apart. A large
    array becomes its shape, type and sha256, and a function its import path. A field marked `ADDED` is left out while
    it has its default.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = type(value).__name__ if name is None else name(type(value))
        return {"kind": kind, **{f.name: describe(getattr(value, f.name), name) for f in _described(value)}}
    if isinstance(value, Mapping):
        return {str(key): describe(item, name) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [describe(item, name) for item in value]
    if isinstance(value, bool | int | float | str | None):
        return value
    if callable(value) and not hasattr(value, "dtype"):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__name__)}"
    return _array(np.asarray(value))


def _described(value: Any) -> list[dataclasses.Field]:
    fields = dataclasses.fields(value)
    return [f for f in fields if not (f.metadata.get("added") and getattr(value, f.name) == f.default)]


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


def public_path(kind: type) -> str:
    """The shortest import path of a class: where a package exports it, so that a moved module changes nothing."""
    parts = kind.__module__.split(".")
    for n in range(1, len(parts)):
        package = ".".join(parts[:n])
        module = sys.modules.get(package) or importlib.import_module(package)
        if getattr(module, "__dict__", {}).get(kind.__name__) is kind:
            return f"{package}.{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def _array(array: np.ndarray) -> Any:
    if array.size <= LARGEST_SHOWN and array.dtype != object:
        return array.tolist()
    content = np.ascontiguousarray(array)
    digest = hashlib.sha256(content.tobytes()).hexdigest()
    return {"kind": "array", "shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest}
