"""Flags made into values by tyro, with our own refusals as one sentence."""

import contextlib
import io
import sys
from typing import Any

import tyro

from ssni_jax.commands.numbers import NUMBERS


def parsed(kind: Any, **options: Any) -> Any:
    """What `tyro.cli` makes of flags; numbers may be fractions.

    A value that refuses its flags raises its own ValueError, which tyro would print in a frame of several lines.
    """
    shown = io.StringIO()
    try:
        with contextlib.redirect_stderr(shown):
            return tyro.cli(kind, registry=NUMBERS, **options)
    except SystemExit as end:
        refusal = _refusal_behind(end)
        if refusal is None:
            sys.stderr.write(shown.getvalue())
            raise
        raise refusal from None


def _refusal_behind(error: BaseException | None) -> ValueError | None:
    """The sentence of ours in the chain of an error; Python's own messages are no sentences."""
    while error is not None:
        if isinstance(error, ValueError) and str(error).endswith((".", "?")) and "\n" not in str(error):
            return ValueError(str(error))
        error = error.__cause__ or error.__context__
    return None
