"""The gradient that an attack takes, against JAX's own rules and against slopes; stand-ins against the exact one."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssni_jax.attacks import Margin, TraceLoss
from ssni_jax.core.arrays import over, row_norm
from ssni_jax.core.protocols import Differentiation, Predict
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.core.types import Images, Keys, Labels, Level
from ssni_jax.evals.autodiff import plain
from ssni_jax.purify import (
    BpdaIdentity,
    BpdaOneStep,
    Buckets,
    Exact,
    FrozenTime,
    Nested,
    SoftTime,
    StraightThroughTime,
    Surrogate,
)

TOLERANCE = 1e-4
SLOPE_STEPS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002)
DOUBLE_STEPS = (1e-4, 1e-5, 1e-6, 1e-7)


class ModeCheck(NamedTuple):
    """A gradient: an exact mode's error relative to un-checkpointed autodiff, any mode's cosine with the exact one.

    `floor` is how far the reference itself moves when every pixel moves by a rounding error.
    """

    mode: str
    error: float | None
    floor: float | None
    cosine: float


class Slopes(NamedTuple):
    """An exact gradient's error relative to central differences of size `step`; `floor` is how uncertain those are."""

    mode: str
    error: float
    step: float
    floor: float


class Case(NamedTuple):
    """The images, their keys and the loss at which gradients are compared."""

    keys: Keys
    x: Images
    y: Labels
    loss: TraceLoss


def compare(case: Case, predict: Any, n_steps: int) -> Iterator[ModeCheck]:
    """One mode after the other, each compiled when its turn comes; `n_steps` are those per round of the surrogate."""
    exact = gradient(case, predict)
    reference, floor = stored_gradient(case, predict)
    for mode in (Exact(), Exact(Nested()), Exact(Buckets())):
        taken = exact if mode.walk is None else gradient(case, mode(predict))
        yield ModeCheck(mode.name, relative(taken, reference), floor, cosine(taken, exact))
    for mode in exact_in_time(predict):
        taken, (reference, floor) = gradient(case, mode(predict)), stored_gradient(case, mode(predict))
        yield ModeCheck(mode.name, relative(taken, reference), floor, cosine(taken, exact))
    for mode in approximations(predict):
        yield ModeCheck(mode.name, None, None, cosine(gradient(case, mode(predict)), exact))
    cheap = Surrogate(n_steps)
    yield ModeCheck(cheap.name, None, None, cosine(gradient(case, cheap(predict)), exact))


def exact_in_time(predict: Any) -> tuple[Differentiation, ...]:
    """The modes with an exact gradient through t(x), where there is a t(x)."""
    return (SoftTime(),) if is_adaptive(predict) else ()


def is_adaptive(predict: Any) -> bool:
    """Whether the noise of a predictor depends on the image."""
    return any(round.level.adaptive for purify in predict.purifiers for round in purify.rounds)


def approximations(predict: Any) -> tuple[Differentiation, ...]:
    """The stand-ins that make a difference to this defence."""
    in_time = (StraightThroughTime(), FrozenTime()) if exact_in_time(predict) else ()
    return (*in_time, BpdaOneStep(), BpdaIdentity())


def compare_slopes(case: Case, predict: Any, n_directions: int = 4) -> Iterator[Slopes]:
    """Exact gradients against central differences: with t held at that of the images, and through a soft t.

    The loss is the margin of the logits: a confident image's cross-entropy is too flat to be seen in float32.
    """
    case = case._replace(loss=Margin())
    held = predict.hold(case.keys, case.x)
    yield slopes("exact, t held" if exact_in_time(predict) else "exact", case, held, n_directions)
    for mode in exact_in_time(predict):
        yield slopes(mode.name, case, mode(predict), n_directions)


def slopes(name: str, case: Case, predict: Predict, n_directions: int) -> Slopes:
    """The step whose slopes agree best with those of the next larger step, chosen without looking at the gradient."""
    value = jax.jit(lambda predict, x: row_losses(case, predict, x))
    directions = [unit(normal_like(fold(case.keys, 100 + i), case.x)) for i in range(n_directions)]
    steps = DOUBLE_STEPS if case.x.dtype == jnp.float64 else SLOPE_STEPS
    measured = np.stack([[central(value, predict, case.x, v, h) for v in directions] for h in steps])
    spread = [relative(small, large) for large, small in itertools.pairwise(measured)]
    best = int(np.argmin(spread))
    ascent = gradient(case, predict)
    expected = np.stack([np.sum(np.asarray(ascent * v, np.float64), axis=(1, 2, 3)) for v in directions])
    return Slopes(name, relative(measured[best + 1], expected), steps[best + 1], spread[best])


def central(
    value: Callable[..., Level], predict: Predict, x: Images, direction: Images, h: float
) -> Float[np.ndarray, " B"]:
    """(value(x + h v) - value(x - h v)) / 2h per row, the difference in float64."""
    ends = [np.asarray(value(predict, x + sign * h * direction), np.float64) for sign in (1, -1)]
    return (ends[0] - ends[1]) / (2 * h)


def passes(row: ModeCheck | Slopes) -> bool:
    """Whether a mode that claims an exact gradient has one; NaN has not."""
    return row.error is None or row.error <= TOLERANCE


def gradient(case: Case, predict: Predict) -> Images:
    """As the attack takes it, for one draw."""
    return jax.jit(jax.grad(lambda x, predict: jnp.sum(row_losses(case, predict, x))))(case.x, predict)


def stored_gradient(case: Case, predict: Predict) -> tuple[Images, float]:
    """The same by JAX's own rules with everything stored, and its relative change at images one rounding error away."""
    total = lambda predict, x: jnp.sum(row_losses(case, predict, x))  # noqa: E731
    ascent = jax.jit(jax.grad(plain(total, predict, case.x), argnums=1))
    one_ulp = float(jnp.finfo(case.x.dtype).eps) / 2
    nudged = case.x * (1 + one_ulp * jnp.sign(normal_like(fold(case.keys, 99), case.x)))
    reference = ascent(predict, case.x)
    return reference, relative(ascent(predict, nudged), reference)


def row_losses(case: Case, predict: Predict, x: Images) -> Level:
    """The attack's loss of each image."""
    return case.loss(predict.trace(case.keys, x), case.y)


def doubled(case: Case, predict: Any) -> tuple[Case, Any]:
    """The case and the predictor in float64, for a caller that has told JAX to have it."""

    def wide(leaf: Any) -> Any:
        is_float = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.asarray(leaf, jnp.float64) if is_float else leaf

    return case._replace(x=wide(case.x)), jax.tree.map(wide, predict)


def unit(x: Images) -> Images:
    """Every row scaled to length one."""
    return x / over(row_norm(x), x)


def relative(actual: Float[Array, "..."] | np.ndarray, expected: Float[Array, "..."] | np.ndarray) -> float:
    """Euclidean norm of the difference over that of what was expected, all images together; 0 if both are zero."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    difference, length = np.linalg.norm(actual - expected), np.linalg.norm(expected)
    if difference == 0:
        return 0.0
    return float(difference / length) if length else math.inf


def cosine(actual: Images, expected: Images) -> float:
    """Cosine of the angle between two gradients, the mean over images; NaN if one of them is zero."""
    a, b = (np.asarray(g, np.float64).reshape(len(g), -1) for g in (actual, expected))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean(np.divide(np.sum(a * b, axis=1), lengths, where=lengths > 0, out=np.full(len(a), np.nan))))
