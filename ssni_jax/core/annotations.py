"""Whether a value is what an annotation says: the fields of a config, and files that were written as JSON."""

import dataclasses
import functools
import inspect
import types
import typing
from numbers import Integral, Real
from typing import Any, NamedTuple, Protocol

WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", type(None): "None"}
SIMPLE = (bool, int, float, complex, str, bytes, list, dict, set, type(None))
LONGEST = 100  # characters of a value that is shown
ABSENT = object()
OPERATORS = ("__call__", "__len__", "__getitem__")  # that protocols have
UNIONS = (typing.Union, types.UnionType)


class Misfit(NamedTuple):
    """A value that is not what its annotation `hint` says, and its place such as "cells[0].eps"."""

    place: str
    hint: Any
    held: Any

    def __str__(self) -> str:
        return f"{self.place} must be {in_words(self.hint)}, got {shown(self.held)}"


def misfit(held: Any, hint: Any, place: str) -> Misfit | None:
    """The first place where a value is not what its annotation says; None where it fits.

    Understood are scalars, classes, unions, literals, tuples, lists, and dicts by TypedDict or of one type of value;
    everything else fits. A number may be an array of one number, a tuple may be a list, and a dict may have further
    keys.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNIONS:
        return None if any(misfit(held, kind, place) is None for kind in inner) else Misfit(place, hint, held)
    if origin is typing.Literal:
        return None if held in inner else Misfit(place, hint, held)
    if origin in (tuple, list):
        return _items(held, hint, place)
    if origin is dict or typing.is_typeddict(hint):
        return _entries(held, hint, place)
    kind = origin or hint
    is_unknown = kind is Any or not isinstance(kind, type)
    return None if is_unknown or _is_a(held, kind) else Misfit(place, hint, held)


def misfit_of_fields(value: Any) -> Misfit | None:
    """The first field of a dataclass that does not hold what its annotation says."""
    return next(
        (
            wrong
            for name, hint in field_hints(type(value)).items()
            if (wrong := misfit(getattr(value, name), hint, name))
        ),
        None,
    )


@functools.cache
def field_hints(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields."""
    annotations = typing.get_type_hints(kind)
    return {field.name: annotations[field.name] for field in dataclasses.fields(kind) if field.name in annotations}


def _items(held: Any, hint: Any, place: str) -> Misfit | None:
    inner = typing.get_args(hint)
    is_even = typing.get_origin(hint) is list or inner[1:] == (Ellipsis,)
    if not isinstance(held, tuple | list) or (not is_even and len(held) != len(inner)):
        return Misfit(place, hint, held)
    kinds = inner[:1] * len(held) if is_even else inner
    places = (f"{place}[{i}]" for i in range(len(held)))
    return next((wrong for item in zip(held, kinds, places, strict=True) if (wrong := misfit(*item))), None)


def _entries(held: Any, hint: Any, place: str) -> Misfit | None:
    if not isinstance(held, dict):
        return Misfit(place, hint, held)
    if not typing.is_typeddict(hint):
        kinds = dict.fromkeys(held, (typing.get_args(hint) or (Any, Any))[1])
    else:
        kinds = _kinds(hint)
        absent = next((name for name in sorted(hint.__required_keys__) if name not in held), None)
        if absent is not None:
            return Misfit(f"{place}.{absent}".lstrip("."), kinds[absent], ABSENT)
    named = ((held[name], kind, f"{place}.{name}".lstrip(".")) for name, kind in kinds.items() if name in held)
    return next((wrong for entry in named if (wrong := misfit(*entry))), None)


@functools.cache
def _kinds(typed_dict: Any) -> dict[str, Any]:
    """The annotation of each key, without NotRequired."""
    return typing.get_type_hints(typed_dict)


def _is_a(held: Any, kind: Any) -> bool:
    if kind in (int, float) and hasattr(held, "dtype"):
        return getattr(held, "ndim", 0) == 0
    if kind in (int, float):
        return isinstance(held, Integral if kind is int else Real) and not isinstance(held, bool)
    if isinstance(held, type):
        return False
    return _has_members(held, kind) if getattr(kind, "_is_protocol", False) else isinstance(held, kind)


def _has_members(held: Any, protocol: type) -> bool:
    """Whether a value has all members of a protocol; `isinstance` would compute its properties, such as a hash."""
    missing = object()
    return hasattr(type(held), "__getattr__") or all(
        inspect.getattr_static(held, name, missing) is not missing for name in _members(protocol)
    )


@functools.cache
def _members(protocol: type) -> frozenset[str]:
    protocols = [base for base in protocol.__mro__ if getattr(base, "_is_protocol", False) and base is not Protocol]
    names = {name for base in protocols for name in (*vars(base), *inspect.get_annotations(base))}
    return frozenset(name for name in names if not name.startswith("_") or name in OPERATORS)


def in_words(hint: Any) -> str:
    """An annotation as people say it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNIONS:
        return " or ".join(in_words(kind) for kind in inner)
    if origin is typing.Literal:
        return " or ".join(f'"{choice}"' if isinstance(choice, str) else repr(choice) for choice in inner)
    if origin is list or (origin is tuple and inner[1:] == (Ellipsis,)):
        return f"a {origin.__name__}, each entry {in_words(inner[0])}"
    if origin is tuple:
        return f"a tuple of {len(inner)} entries"
    if origin is dict or typing.is_typeddict(hint):
        return "a mapping of names to values"
    return WORDS.get(hint) or with_article(getattr(hint, "__name__", str(hint)))


def shown(held: Any) -> str:
    """A value in a message: itself where it is short and simple, else its class."""
    if held is ABSENT:
        return "nothing"
    if isinstance(held, type):
        return f"the class {held.__name__} itself"
    is_simple = isinstance(held, SIMPLE) or (isinstance(held, tuple) and all(isinstance(item, SIMPLE) for item in held))
    return repr(held) if is_simple and len(repr(held)) < LONGEST else with_article(type(held).__name__)


def with_article(name: str) -> str:
    """A name behind "a" or "an"."""
    return f"an {name}" if name[0].upper() in "AEIOU" else f"a {name}"
