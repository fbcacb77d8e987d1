"""Frozen dataclasses that are pytrees: numbers a sweep changes are data, counts and choices are static."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar, dataclass_transform

import jax

from ssni_jax.core.bounds import bounded, check_bounds

T = TypeVar("T")


# Metadata of a field that came after results were stored: `describe` shows it only where it is not its default, so that
# what was stored before describes the same value.
ADDED = MappingProxyType({"added": True})


def static(*, metadata: Mapping[str, Any] = MappingProxyType({}), **kwargs: Any) -> Any:
    """Marks a field as part of the tree's structure: changing it retraces, and it never becomes an array."""
    return dataclasses.field(metadata={"static": True, **metadata}, **kwargs)


@dataclass_transform(frozen_default=True, field_specifiers=(static, bounded, dataclasses.field))
def pytree(cls: type[T]) -> type[T]:
    """Class decorator: a frozen dataclass whose fields are pytree children, except those made with `static()`.

    Fields made with `bounded()` are checked when a value is built. Unflattening bypasses `__init__` and
    `__post_init__`, because JAX rebuilds trees from tracers, shardings and None, which such checks would refuse.
    """
    _check_when_built(cls)
    cls = dataclasses.dataclass(frozen=True, eq=False)(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    data = tuple(f.name for f in fields if not f.metadata.get("static"))
    meta = tuple(f.name for f in fields if f.metadata.get("static"))

    def flatten(value):
        children = tuple((jax.tree_util.GetAttrKey(name), getattr(value, name)) for name in data)
        return children, tuple(getattr(value, name) for name in meta)

    def unflatten(aux, children):
        value = object.__new__(cls)
        for name, child in zip(data + meta, tuple(children) + aux, strict=True):
            object.__setattr__(value, name, child)
        return value

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
    return cls


def _check_when_built(cls: type) -> None:
    """Gives the class a `__post_init__` that looks at bounds before its own."""
    own = getattr(cls, "__post_init__", None)

    def check(self) -> None:
        check_bounds(self)
        if own is not None:
            own(self)

    cls.__post_init__ = check  # type: ignore[attr-defined]
