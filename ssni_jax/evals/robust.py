"""Robust accuracy of one batch: attack the defence, then judge it afresh."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax.sharding import Mesh

from ssni_jax.core.protocols import Attack
from ssni_jax.core.rng import fold
from ssni_jax.core.types import Images, Keys, Labels, Logits
from ssni_jax.dist import by_rows
from ssni_jax.evals.prediction import Prediction
from ssni_jax.purify import Defense

CLEAN, ATTACK, FRESH = range(3)


class Outcome(NamedTuple):
    """What one batch showed; `judged` has one prediction a fresh draw."""

    clean: Prediction
    adversarial: Images
    judged: tuple[Prediction, ...]
    undefended: Logits


def make_attack(mesh: Mesh) -> Callable[[Attack, Defense, Keys, Images, Labels], Images]:
    """A jitted `(attack, defense, keys, x, y) -> adversarial images` for rows split over the mesh.

    The buffer of x is given away to the adversarial images: attack a batch after everything else that needs it.
    """

    def run(values: tuple[Attack, Defense], keys: Keys, x: Images, y: Labels) -> Images:
        attack, defense = values
        return attack(keys, defense, x, y)

    def attacked(attack: Attack, defense: Defense, keys: Keys, x: Images, y: Labels) -> Images:
        return by_rows(mesh, run)((attack, defense), keys, x, y)

    return jax.jit(attacked, donate_argnames="x")


def judge(
    predict: Callable[..., Prediction], defense: Defense, keys: Keys, x: Images, n_draws: int
) -> tuple[Prediction, ...]:
    """Predictions under `n_draws` keys that the attack has never seen."""
    return tuple(predict(defense, fold(fold(keys, FRESH), draw), x) for draw in range(n_draws))
