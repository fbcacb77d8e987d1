"""What an attack raises: one number per row of a trace, larger when the true label is less likely."""

from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from ssni_jax.core.protocols import Trace
from ssni_jax.core.pytree import pytree
from ssni_jax.core.types import Labels, Level, Logits, Rows

TINY = 1e-12  # keeps a ratio of equal scores finite


@runtime_checkable
class TraceLoss(Protocol):
    """A loss with one number per row; it may look at scores, t, score norm and whatever else a trace shows.

    A loss that looks at states inside the purification has a field or property `save`, the SaveAt it needs; it finds
    them in `trace.saved`.
    """

    def __call__(self, trace: Trace, y: Labels) -> Level: ...


@pytree
class CrossEntropy:
    """-log p(y | x)."""

    def __call__(self, trace: Trace, y: Labels) -> Level:
        return -_score(jax.nn.log_softmax(trace.scores), y)


@pytree
class Margin:
    """Largest other score minus the true one (Carlini & Wagner 2017, f6 without the clamp)."""

    def __call__(self, trace: Trace, y: Labels) -> Level:
        return _best_other(trace.scores, y) - _score(trace.scores, y)


@pytree
class Dlr:
    """Difference of logits ratio (Croce & Hein 2020, eq. 6): the margin over the gap of first to third score."""

    def __call__(self, trace: Trace, y: Labels) -> Level:
        ranked = _ranked(trace.scores, 3)
        return Margin()(trace, y) / (ranked[:, 0] - ranked[:, 2] + TINY)


@runtime_checkable
class TargetedLoss(TraceLoss, Protocol):
    """A loss that is larger when the class `target`, one per row, is likelier than the true one."""

    def towards(self, target: Labels) -> "TargetedLoss": ...


@pytree
class TargetedMargin:
    """Score of the class `target` minus the true one."""

    target: Labels | None = None

    def towards(self, target: Labels) -> "TargetedMargin":
        return TargetedMargin(target)

    def __call__(self, trace: Trace, y: Labels) -> Level:
        return _score(trace.scores, _known(self.target)) - _score(trace.scores, y)


@pytree
class TargetedDlr:
    """Targeted difference of logits ratio (Croce & Hein 2020, eq. 7), of at least four classes."""

    target: Labels | None = None

    def towards(self, target: Labels) -> "TargetedDlr":
        return TargetedDlr(target)

    def __call__(self, trace: Trace, y: Labels) -> Level:
        ranked = _ranked(trace.scores, 4)
        gap = ranked[:, 0] - (ranked[:, 2] + ranked[:, 3]) / 2
        return TargetedMargin(self.target)(trace, y) / (gap + TINY)


def _score(scores: Logits, label: Labels) -> Level:
    """The score of one class per row."""
    return jnp.take_along_axis(scores, label[:, None], axis=1)[:, 0]


def _best_other(scores: Logits, y: Labels) -> Level:
    """The largest score of the other classes."""
    true = jax.nn.one_hot(y, scores.shape[1], dtype=bool)
    return jnp.max(jnp.where(true, -jnp.inf, scores), axis=1)


def _ranked(scores: Logits, n: int) -> Rows:
    """The `n` largest scores, the largest first."""
    if scores.shape[1] < n:
        raise ValueError(f"This loss needs at least {n} classes, got {scores.shape[1]}: use CrossEntropy or Margin.")
    return jax.lax.top_k(scores, n)[0]


def _known(target: Labels | None) -> Labels:
    if target is None:
        raise ValueError("A targeted loss needs a target class per row: wrap the attack in `Targeted`.")
    return target
