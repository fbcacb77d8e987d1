"""Cheaper stand-ins for a defence, for attacks that cannot afford its full gradient."""

import dataclasses

from ssni_jax.purify.purifier import Defense


def surrogate(defense: Defense, n_steps: int) -> Defense:
    """The same defence with at most `n_steps` solver steps a round (Lee & Kim 2023); every other value is kept.

    Its gradient is exact for the shorter chain and an approximation for the defence, so results say that it was used.
    """
    rounds = tuple(
        dataclasses.replace(each, grid=dataclasses.replace(each.grid, n_steps=min(n_steps, each.grid.n_steps)))
        for each in defense.purify.rounds
    )
    return dataclasses.replace(defense, purify=dataclasses.replace(defense.purify, rounds=rounds))
