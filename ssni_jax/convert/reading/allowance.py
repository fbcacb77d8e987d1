"""What one reading may spend. Every loop that a file controls draws from here, so no file can keep us busy for ever."""

import dataclasses
from typing import Literal

from ssni_jax.convert.reading.errors import CheckpointError

Kind = Literal["instructions", "nodes", "numbered keys", "bytes"]


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds on a checkpoint; the largest released ones stay below a tenth of each.

    `nodes` counts containers and leaves as a walk meets them, shared ones again each time: never more than the file has
    bytes, since each that is not shared takes one. `depth` is their nesting.
    The arrays of a walk may hold `unfolding` times the bytes of the file and `slack` more. `numbered_keys` is a bound
    because integer keys can be chosen to collide, which makes a dictionary quadratic.
    """

    file_bytes: int = 64 << 30
    instructions: int = 2_000_000
    nodes: int = 1_000_000
    numbered_keys: int = 20_000
    depth: int = 64
    unfolding: int = 16
    slack: int = 64 << 20


class Allowance:
    """The limits of one file, and what is left of them."""

    def __init__(self, limits: Limits, file_bytes: int):
        if file_bytes > limits.file_bytes:
            raise CheckpointError(f"has {file_bytes:,} bytes, but the limit is {limits.file_bytes:,}: raise file_bytes")
        self.limits = limits
        self._left: dict[Kind, int] = {
            "instructions": limits.instructions,
            "nodes": min(limits.nodes, file_bytes),
            "numbered keys": limits.numbered_keys,
            "bytes": limits.unfolding * file_bytes + limits.slack,
        }

    def spend(self, kind: Kind, amount: int = 1) -> None:
        """Takes `amount` of what is left, or refuses the file."""
        self._left[kind] -= amount
        if self._left[kind] < 0:
            raise CheckpointError(f"unfolds into more {kind} than weights need: it may be made to exhaust this machine")
