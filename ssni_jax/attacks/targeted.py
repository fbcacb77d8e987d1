"""Wrappers of an attack: another loss, or a target class per image."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ssni_jax.attacks.attack import Attack, Attacked
from ssni_jax.attacks.losses import TargetedDlr, TargetedLoss, TraceLoss
from ssni_jax.attacks.objective import Objective
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold
from ssni_jax.core.types import Images, Keys, Labels, Logits, Tree

TARGET = (1 << 20) + (1 << 19)  # beyond every iteration and restart that the keys are folded with


@pytree
class WithLoss:
    """`attack` with its own loss, and `n_draws` per gradient if given, whatever the objective has.

    Ensembles combine attacks on several losses.
    """

    attack: Attack
    loss: TraceLoss
    n_draws: int | None = static(default=None)

    @property
    def n_iterations(self) -> int:
        return self.attack.n_iterations

    def init(self, keys: Keys, objective: Objective, x: Images, y: Labels, *, start: Images | None = None) -> Tree:
        return self.attack.init(keys, self._on(objective), x, y, start=start)

    def update(self, keys: Keys, i: Any, objective: Objective, state: Tree, x: Images, y: Labels) -> Tree:
        return self.attack.update(keys, i, self._on(objective), state, x, y)

    def result(self, state: Tree) -> Attacked:
        return self.attack.result(state)

    def _on(self, objective: Objective) -> Objective:
        n_draws = objective.n_draws if self.n_draws is None else self.n_draws
        return dataclasses.replace(objective, loss=self.loss, n_draws=n_draws)


class TargetedState(NamedTuple):
    """The target class of each row, and the state of the attack towards it."""

    target: Labels
    inner: Tree


@pytree
class Targeted:
    """`attack` towards one class per image: the wrong one with the `rank`-th highest score on the clean image.

    `loss` is targeted. Ranks are counted from 1 and begin again after the last class (Croce & Hein 2020, APGD-T).
    """

    attack: Attack
    rank: int = 1
    loss: TargetedLoss = TargetedDlr()

    @property
    def n_iterations(self) -> int:
        return self.attack.n_iterations

    def init(
        self, keys: Keys, objective: Objective, x: Images, y: Labels, *, start: Images | None = None
    ) -> TargetedState:
        target = ranked_class(objective.mean_scores(fold(keys, TARGET), x), y, self.rank)
        inner = self.attack.init(keys, self._towards(target, objective), x, y, start=start)
        return TargetedState(target, inner)

    def update(
        self, keys: Keys, i: Any, objective: Objective, state: TargetedState, x: Images, y: Labels
    ) -> TargetedState:
        towards = self._towards(state.target, objective)
        return TargetedState(state.target, self.attack.update(keys, i, towards, state.inner, x, y))

    def result(self, state: TargetedState) -> Attacked:
        return self.attack.result(state.inner)

    def _towards(self, target: Labels, objective: Objective) -> Objective:
        return objective.with_loss(self.loss.towards(target))


def ranked_class(scores: Logits, y: Labels, rank: Any) -> Labels:
    """The class with the `rank`-th highest score among those that are not y; ranks beyond the last begin again."""
    n_others = scores.shape[1] - 1
    others = jnp.where(jax.nn.one_hot(y, n_others + 1, dtype=bool), -jnp.inf, scores)
    order = jnp.argsort(-others, axis=1)
    return jnp.take(order, (rank - 1) % n_others, axis=1)
