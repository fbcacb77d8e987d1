"""Numbers that an experiment may leave to the plan, as "auto"."""

from typing import Literal

AUTO = "auto"
Automatic = int | Literal["auto"]


def number_of(value: Automatic) -> int:
    """The number that a field holds once the plan has settled it."""
    if isinstance(value, str):
        raise ValueError(f'a field is still "{value}": settle the experiment with jobs.automatic.settled first.')
    return value
