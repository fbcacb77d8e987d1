"""An experiment that follows from a few choices, such as the row of a paper's table."""

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What `build` makes of `choices`, a frozen dataclass whose fields become flags.

    Flags change the choices first; those that the choices do not have change fields of the experiment. The choices say
    which published `networks` and reference `norms` they need, for `ssni fetch-list`.
    """

    choices: Any
    build: Callable[[Any], Any]
