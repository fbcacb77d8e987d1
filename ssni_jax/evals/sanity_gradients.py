"""The checks of the gradient itself: against slopes of the whole pipeline, and how often it is zero or not finite."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from ssni_jax.attacks import Margin
from ssni_jax.core.arrays import over
from ssni_jax.core.rng import fold
from ssni_jax.core.types import Images, Keys, Labels, Level
from ssni_jax.dist import by_rows, on_every_host
from ssni_jax.evals.suspect import N_FRESH, SLOPES, Check, Suspect, Verdict

STEPS = (0.04, 0.02, 0.01, 0.004, 0.0015, 0.0005)  # root mean square change of a pixel
N_RANDOM = 3  # random directions per image; the gradient's own is one more
TOLERATED, SUSPICIOUS = 0.02, 0.05  # relative errors of half of the images
UNCERTAIN = 4  # an error counts that is so many times as large as the slopes are uncertain
VANISHED = 1e-3  # of the slopes: a gradient this small is missing
ONE_STEP = 0.02
AXES = (1, 2, 3)


class Agreement(NamedTuple):
    """Per image, over several directions: relative error of the gradient, uncertainty, and the gradient's own size.

    A flat row has neither slopes nor a gradient; it counts as right.
    """

    error: Float[np.ndarray, " B"]
    floor: Float[np.ndarray, " B"]
    size: Float[np.ndarray, " B"]
    is_flat: Bool[np.ndarray, " B"]


def slopes_of_pipeline(suspect: Suspect) -> Check:
    """The gradient of the margin through the whole pipeline against central differences, at the t of the image."""

    def margin(predict: Any, keys: Keys, at: Images, x: Images, y: Labels) -> Level:
        return Margin()(predict.hold(keys, at).trace(keys, x), y)

    return against_slopes("finite differences", suspect, suspect.predict, margin)


def slopes_of_time(suspect: Suspect) -> Check | None:
    """t(x) before its rounding against central differences, and whether rounding leaves a gradient."""
    if not suspect.chooses_levels:
        return None

    def time(predict: Any, keys: Keys, at: Images, x: Images, y: Labels) -> Level:
        t = predict.measure(keys, x).t
        return jnp.mean(t.reshape(len(x), -1), axis=1)

    row = against_slopes("gradient of t(x)", suspect, suspect.predict.soft(), time)
    ascent = gradients(suspect, suspect.predict, time)(suspect.predict, *rows(suspect))
    is_flat = not np.any(on_every_host(ascent))
    rounded = " As the defence runs, t(x) is rounded or clipped and has gradient zero." if is_flat else ""
    return row._replace(sentence=row.sentence.replace("The gradient", "That of t(x) without rounding") + rounded)


def uphill(suspect: Suspect) -> Check:
    """The attack's own gradient, which may be that of a stand-in, leads uphill on the defence."""
    gradient = suspect.climb(suspect.probe, suspect.raising("margin"), 1).gradient
    direction = ONE_STEP * scaled(suspect.probe.threat.direction(gradient))
    above, below = suspect.x + direction, suspect.x - direction
    n_pairs = N_FRESH // 2
    trace = suspect.answers([k for k in range(n_pairs) for _ in range(2)], [above, below] * n_pairs)
    ends = on_every_host(Margin()(trace, jnp.tile(suspect.y, N_FRESH))).reshape(n_pairs, 2, -1)
    share = float(np.mean(ends[:, 0] > ends[:, 1]))
    verdict: Verdict = "pass" if share > 0.75 else "warn" if share > 0.5 else "fail"
    where, name = f"{100 * share:.0f} % of draws", suspect.objective.gradient_name
    text = f"A small step along the attack's gradient ({name}) raises the margin of the defence in {where}."
    return Check("gradient leads uphill", verdict, text, {"share": share})


def zero_gradients(suspect: Suspect) -> Check:
    """How often the attack stood still because every pixel's gradient was zero."""
    share = counted(suspect, "n_zero")
    verdict: Verdict = "pass" if share == 0 else "fail" if share > 0.1 else "warn"
    says = "" if verdict == "pass" else ": the attack stands still there"
    text = f"{100 * share:.1f} % of the attack's gradients are zero in every pixel{says}."
    return Check("zero gradients", verdict, text, {"share": share})


def non_finite_gradients(suspect: Suspect) -> Check:
    """How often a gradient had an infinite or NaN pixel."""
    share = counted(suspect, "n_invalid")
    text = f"{100 * share:.1f} % of the attack's gradients have a pixel that is not finite."
    return Check("non-finite gradients", "fail" if share > 0 else "pass", text, {"share": share})


def shifted_logits(suspect: Suspect) -> Check:
    """A constant added to all logits changes no gradient."""
    objectives = [suspect.raising(suspect.own, shift) for shift in (0.0, 10.0)]
    pair = [on_every_host(suspect.climb(suspect.probe, objective, 1).gradient) for objective in objectives]
    before, after = (np.asarray(gradient, np.float64).reshape(len(suspect.y), -1) for gradient in pair)
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    if not np.any(lengths > 0):
        return Check("logit shift", "warn", "All gradients are zero, so that nothing can be compared.", {})
    cosine = float(np.median(np.sum(before * after, axis=1)[lengths > 0] / lengths[lengths > 0]))
    verdict: Verdict = "pass" if cosine > 0.99 else "fail" if cosine < 0.9 else "warn"
    text = f"With 10 added to every logit, gradients have a cosine of {cosine:.4f} with those before."
    return Check("logit shift", verdict, text, {"cosine": cosine})


Value = Callable[[Any, Keys, Images, Images, Labels], Level]


def against_slopes(name: str, suspect: Suspect, predict: Any, function: Value) -> Check:
    """Relative errors of half of the images, in full float32, at points that are off the edges of [0, 1]."""
    with jax.default_matmul_precision("highest"):
        slopes = measured(suspect, predict, function)
    error, floor = float(np.median(slopes.error)), float(np.median(slopes.floor))
    missing = float(np.mean(slopes.size < VANISHED))
    numbers = {"error": error, "uncertainty": floor, "missing": missing}
    if missing > 0.5:
        text = f"The gradient is zero on {100 * missing:.0f} % of images, where finite differences see a slope."
        return Check(name, "fail", text, numbers)
    if not np.isfinite(error):
        return Check(name, "fail", "The gradient or the slopes are not finite.", numbers)
    if np.mean(slopes.is_flat) > 0.5:
        return Check(
            name, "warn", "There is no slope to compare with: small changes of the image change nothing.", numbers
        )
    counts = error > UNCERTAIN * floor
    limit = TOLERATED if counts else SUSPICIOUS
    verdict: Verdict = "fail" if error > SUSPICIOUS and counts else "warn" if error > limit else "pass"
    says = "agrees with" if verdict == "pass" else "is not that of" if verdict == "fail" else "may not be that of"
    text = f"The gradient {says} finite differences: relative error {error:.1e}, uncertain by {floor:.0e}."
    return Check(name, verdict, text, numbers)


def measured(suspect: Suspect, predict: Any, function: Value) -> Agreement:
    """The gradient against slopes along random directions and its own."""
    x = 0.05 + 0.9 * suspect.x
    value = compiled(suspect, function)
    ascent = gradients(suspect, predict, function)(predict, *rows(suspect, x, x))
    keys = fold(suspect.keys, SLOPES)
    signs = [
        jax.vmap(lambda key: jax.random.rademacher(key, x.shape[1:], x.dtype))(fold(keys, k)) for k in range(N_RANDOM)
    ]
    directions = [*signs, scaled(ascent)]
    expected = np.stack([on_every_host(jnp.sum(ascent * v, axis=AXES)) for v in directions]).astype(np.float64)

    def slope(v: Images, h: float) -> np.ndarray:
        ends = [
            np.asarray(on_every_host(value(predict, *rows(suspect, x + s * h * v, x))), np.float64) for s in (1, -1)
        ]
        return (ends[0] - ends[1]) / (2 * h)

    seen = np.stack([[slope(v, h) for v in directions] for h in STEPS])  # [steps, directions, images]
    return agreement(seen, expected)


def agreement(seen: np.ndarray, expected: np.ndarray) -> Agreement:
    """Errors at the step whose slopes agree best with those of the next larger one, chosen without the gradient."""
    length = np.linalg.norm(seen, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        floor = np.linalg.norm(seen[1:] - seen[:-1], axis=1) / length[1:]
        error = np.linalg.norm(seen[1:] - expected, axis=1) / length[1:]
        size = np.linalg.norm(expected, axis=0) / np.max(length, axis=0)
    is_flat = (np.max(length, axis=0) == 0) & (np.linalg.norm(expected, axis=0) == 0)
    best = np.argmin(np.where(np.isfinite(floor), floor, np.inf), axis=0)
    at = best, np.arange(len(best))
    error, floor = (np.where(is_flat, 0.0, v[at]) for v in (error, floor))
    return Agreement(error, floor, np.where(is_flat, 1.0, size), is_flat)


def compiled(suspect: Suspect, function: Value) -> Callable[..., Level]:
    """`function(predict, keys, at, x, y)` over the mesh."""
    return jax.jit(by_rows(suspect.mesh, function))


def gradients(suspect: Suspect, predict: Any, function: Value) -> Callable[..., Images]:
    """The gradients of `function` at x over the mesh."""

    def total(x: Images, predict: Any, keys: Keys, at: Images, y: Labels) -> Any:
        return jnp.sum(function(predict, keys, at, x, y))

    def ascent(predict: Any, keys: Keys, at: Images, x: Images, y: Labels) -> Images:
        return jax.grad(total)(x, predict, keys, at, y)

    return compiled(suspect, ascent)


def rows(suspect: Suspect, x: Images | None = None, at: Images | None = None) -> Sequence[Any]:
    """Keys, the images at which levels are held, images and labels."""
    keys = fold(suspect.keys, SLOPES)
    return keys, suspect.x if at is None else at, suspect.x if x is None else x, suspect.y


def scaled(direction: Images) -> Images:
    """Every row with a root mean square of one; a row of zeros stays one."""
    largest = jnp.max(jnp.abs(direction), axis=AXES)
    direction = direction / over(jnp.where(largest == 0, 1.0, largest), direction)
    size = jnp.sqrt(jnp.mean(jnp.square(direction), axis=AXES))
    return direction / over(jnp.where(size == 0, 1.0, size), direction)


def counted(suspect: Suspect, name: str) -> float:
    """The share of the gradients of the config's attack that its state counts under this name."""
    counts = getattr(suspect.base.state, name)
    return float(np.sum(counts)) / (suspect.base.n_iterations * len(counts))
