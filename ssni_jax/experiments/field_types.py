"""Whether the fields of an experiment, and of the values in it, hold what their annotations say."""

import dataclasses
import os
import typing
from collections.abc import Iterator
from typing import Any

from ssni_jax.core.annotations import SIMPLE, UNIONS, Misfit, field_hints, in_words, misfit, misfit_of_fields, shown

EXAMPLES = {
    "Predict": "a predictor (a Defense, a Vote or `predictor(classifier)`)",
    "Source": 'a source of images such as `Digits("test")`',
    "Attack": "an attack such as `Pgd()`",
    "Architecture": "the config of a network",
    "Stopping": "a stopping rule such as `FixedDraws()`",
}


def check_types(experiment: Any) -> None:
    """Refuses a field of another type than its annotation, and a number or a text in the place of a value within one.

    A value of another library or of the config itself is taken as it is.
    """
    check_own_types(experiment)
    for place, value in _values(experiment, ""):
        for name, hint in field_hints(type(value)).items():
            held = getattr(value, name)
            if not _may_fit(held, hint):
                raise ValueError(_refusal(Misfit(f"{place}{name}", hint, held)))
            if isinstance(held, str) and "://" in held:
                raise ValueError(f"{place}{name} cannot be {held}, because only local and mounted paths are read.")


def check_own_types(value: Any) -> None:
    """As `check_types`, for the fields alone: what they hold was checked when it was built."""
    wrong = misfit_of_fields(value)
    if wrong is not None:
        raise ValueError(_refusal(wrong))


def _values(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Every dataclass of this library within a value, and its place such as "attack.threat."."""
    if isinstance(value, tuple | list):
        for i, item in enumerate(value):
            yield from _values(item, f"{place.removesuffix('.')}[{i}].")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type) and type(value).__module__[:9] == "ssni_jax.":
        if place:
            yield place, value
        for field in dataclasses.fields(value):
            yield from _values(getattr(value, field.name), f"{place}{field.name}.")


def _may_fit(held: Any, hint: Any) -> bool:
    """False only for a simple value, or a class, where the annotation wants something else."""
    if isinstance(held, type):
        return typing.get_origin(hint) is not None or not getattr(hint, "_is_protocol", False)
    return not isinstance(held, SIMPLE) or isinstance(held, os.PathLike) or misfit(held, hint, "") is None


def _refusal(wrong: Misfit) -> str:
    return f"{wrong.place} must be {_in_words(wrong.hint)}, got {shown(wrong.held)}: {_remedy(wrong)}."


def _in_words(hint: Any) -> str:
    if typing.get_origin(hint) in UNIONS:
        return " or ".join(_in_words(kind) for kind in typing.get_args(hint))
    return EXAMPLES.get(getattr(hint, "__name__", "")) or in_words(hint)


def _remedy(wrong: Misfit) -> str:
    if isinstance(wrong.held, type):
        return f"call it, {wrong.held.__name__}(...)"
    is_entry = typing.get_origin(wrong.hint) is tuple and misfit((wrong.held,), wrong.hint, "") is None
    return f"write ({wrong.held!r},)" if is_entry else "give one"
