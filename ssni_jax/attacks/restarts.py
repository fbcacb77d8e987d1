"""Several runs of one attack, one after the other, each from a random start of its own."""

from typing import Any

from jaxtyping import Array, Bool

from ssni_jax.core.rng import fold
from ssni_jax.core.types import Keys

RESTART = 1 << 20  # beyond every iteration that the keys are folded with


def check_runs(name: str, n_steps: int, n_restarts: int) -> None:
    """Refuses runs without a step, and no run at all."""
    if n_steps < 1 or n_restarts < 1:
        raise ValueError(f"{name} needs at least one step, got n_steps={n_steps}, n_restarts={n_restarts}.")


def start_keys(keys: Keys, i: Any = 0) -> Keys:
    """The keys of the random start of the run that begins with iteration i."""
    return fold(keys, RESTART + i)


def is_restart(i: Any, length: int) -> Bool[Array, ""]:
    """Whether iteration i begins a further run, of `length` iterations each."""
    return (i > 0) & (i % length == 0)
