"""Settings of a network that have a few allowed values."""

from collections.abc import Mapping, Sequence
from typing import Any

DTYPES = ("float32", "bfloat16")


def check_choices(config: Any, choices: Mapping[str, Sequence[str]]) -> None:
    """Refuses a config whose field is none of its `choices`."""
    for name, allowed in choices.items():
        if getattr(config, name) not in allowed:
            raise ValueError(f"{name} is {getattr(config, name)!r}, but it must be one of {', '.join(allowed)}")
