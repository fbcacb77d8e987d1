"""Pickles, read by carrying their instructions out on our own machine."""

import io
import mmap
import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any, cast

from ssni_jax.convert.reading.allowance import Allowance
from ssni_jax.convert.reading.errors import CUT_SHORT, CheckpointError, damaged, shown
from ssni_jax.convert.reading.instructions import INSTRUCTIONS
from ssni_jax.convert.reading.machine import Machine

Stream = io.BytesIO | mmap.mmap


def no_storage(pid: Any) -> Any:
    """The answer to a persistent id in a pickle that has no storages beside it."""
    raise CheckpointError("is a pickle that points to storages outside of itself: it is a part of another file")


def run(
    stream: Stream,
    allowance: Allowance,
    persistent: Callable[[Any], Any] = no_storage,
    words: Mapping[str, Any] = {},
) -> Any:
    """What one pickle, from the stream's position on, describes; `words` are added to the vocabulary."""
    machine = Machine(allowance, persistent, words)
    try:
        for opcode, arg, _ in pickletools.genops(cast(IO[bytes], stream)):
            allowance.spend("instructions")
            if opcode.name not in INSTRUCTIONS:
                raise CheckpointError(
                    f"uses the pickle instruction {opcode.name}, which no weights need: do not load it"
                )
            INSTRUCTIONS[opcode.name](machine, arg)
    except ValueError as error:
        raise _explained(error) from None
    return machine.pop()


def _explained(error: ValueError) -> CheckpointError:
    if isinstance(error, CheckpointError):
        return error
    if any(sign in str(error) for sign in ("exhausted", "remain", "not enough data", "no newline found")):
        return CheckpointError(CUT_SHORT)
    return damaged(f"its pickle cannot be taken apart ({shown(error)})")
