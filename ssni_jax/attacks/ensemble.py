"""Attacks one after the other, each on the images that still stand: AutoAttack (Croce & Hein 2020) and its like."""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int

from ssni_jax.attacks.apgd import Apgd
from ssni_jax.attacks.apgd_l1 import ApgdL1
from ssni_jax.attacks.attack import Attack, Attacked, begins_at_clean_images
from ssni_jax.attacks.fab import Fab
from ssni_jax.attacks.losses import CrossEntropy, Dlr, Margin, TargetedMargin
from ssni_jax.attacks.objective import Objective
from ssni_jax.attacks.square import Square
from ssni_jax.attacks.targeted import Targeted, WithLoss
from ssni_jax.attacks.threats import L1, L2, Linf
from ssni_jax.core.bounds import bounded
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Images, Keys, Labels, Level

N_TARGETS, N_TARGETS_L1 = 9, 5
EOT = 20  # draws per gradient of the version for randomized defences
CLEAN = "clean"  # the stage before the first attack


@pytree
class Ensemble:
    """`attacks` in order, each on the images on which the ones before left at most a share `falls_at` of draws wrong.

    With one draw an image falls when it is misclassified; a clean image whose draws are wrong is not attacked. What is
    judged is the image with the largest share of wrong draws. `names` are those of the tables, one per attack.
    """

    attacks: tuple[Attack, ...]
    names: tuple[str, ...] = static(default=())
    falls_at: float = bounded(0, 1, above=True, default=0.5)

    def __post_init__(self):
        if not self.attacks or len(self.names) != len(self.attacks):
            raise ValueError(f"An ensemble needs one name per attack, got {len(self.attacks)} and {len(self.names)}.")

    @property
    def stages(self) -> dict[str, Attack]:
        """The attacks by name, first a look at the clean images with the loss and draws of the first attack."""
        first, clean = self.attacks[0], Untouched()
        if isinstance(first, WithLoss):
            clean = dataclasses.replace(first, attack=clean)
        return {CLEAN: clean, **dict(zip(self.names, self.attacks, strict=True))}

    def most_draws(self, n_draws: int) -> int:
        """The largest number of draws of an attack, on an objective with `n_draws`."""
        own = [getattr(attack, "n_draws", None) for attack in self.attacks]
        return max(n_draws if n is None else n for n in own)


class UntouchedState(NamedTuple):
    """Loss and share of wrong draws of the clean image."""

    x: Images
    loss: Level
    broken: Level
    n_queries: Int[Array, " B"]


@pytree
class Untouched:
    """No attack: the clean image, and how many of its draws are wrong."""

    n_iterations = 1

    def init(
        self, keys: Keys, objective: Objective, x: Images, y: Labels, *, start: Images | None = None
    ) -> UntouchedState:
        begins_at_clean_images(self, start)
        return UntouchedState(x, jnp.zeros(len(x)), jnp.zeros(len(x)), jnp.zeros(len(x), jnp.int32))

    def update(
        self, keys: Keys, i: Any, objective: Objective, state: UntouchedState, x: Images, y: Labels
    ) -> UntouchedState:
        loss, broken = objective.evaluate(objective.draw_keys(keys, i), x, y).mean()
        return UntouchedState(state.x, loss, broken, state.n_queries + objective.n_draws)

    def result(self, state: UntouchedState) -> Attacked:
        return Attacked(*state)


def autoattack(threat: Linf | L2 | L1, version: Literal["standard", "plus", "rand"] = "standard") -> Ensemble:
    """AutoAttack with its released settings: 100 iterations, 9 target classes, 5000 queries.

    "standard" is for deterministic defences: APGD on the cross-entropy, targeted APGD, targeted FAB, Square. "plus"
    adds APGD on the DLR loss and untargeted FAB, and gives APGD and FAB five restarts. "rand" is for randomized
    defences: APGD on both losses with 20 draws per gradient. In the L1 ball APGD begins outside, with 5 restarts or
    classes.
    """
    if version == "rand":
        return _named({f"apgd-{name}": WithLoss(_apgd(threat), loss, EOT) for name, loss in _LOSSES.items()})
    if version == "standard":
        first = {"apgd-ce": WithLoss(_apgd(threat, 5 if isinstance(threat, L1) else 1), CrossEntropy())}
        return _named(first | _targeted(threat) | {"square": WithLoss(Square(threat), Margin())})
    first = {f"apgd-{name}": WithLoss(_apgd(threat, 5), loss) for name, loss in _LOSSES.items()}
    middle = {
        "fab": WithLoss(Fab(threat, n_restarts=5, all_classes=True), Margin()),
        "square": WithLoss(Square(threat), Margin()),
    }
    return _named(first | middle | _targeted(threat))


_LOSSES = {"ce": CrossEntropy(), "dlr": Dlr()}


def _named(attacks: dict[str, Attack]) -> Ensemble:
    return Ensemble(tuple(attacks.values()), tuple(attacks))


def _apgd(threat: Linf | L2 | L1, n_restarts: int = 1) -> Attack:
    """APGD as AutoAttack runs it in this ball."""
    if isinstance(threat, L1):
        return ApgdL1(threat, n_restarts=n_restarts, from_outside=True)
    return Apgd(threat, n_restarts=n_restarts)


def _targeted(threat: Linf | L2 | L1) -> dict[str, Attack]:
    """Targeted APGD towards one class after the other, then targeted FAB."""
    n = N_TARGETS_L1 if isinstance(threat, L1) else N_TARGETS
    apgd = {f"apgd-t{rank}": Targeted(_apgd(threat), rank) for rank in range(1, n + 1)}
    fab = {f"fab-t{rank}": Targeted(Fab(threat), rank, TargetedMargin()) for rank in range(1, N_TARGETS + 1)}
    return {**apgd, **fab}
