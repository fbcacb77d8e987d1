"""How many network calls an experiment takes per image, told before anything runs."""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ssni_jax.attacks import Attack, Ensemble, Objective, Spsa, Square
from ssni_jax.evals.prediction import n_classified, n_votes

GRADIENT = 4  # forward calls that a gradient through a chain of steps is worth: forwards, again, and backwards (two)


class Calls(NamedTuple):
    """Calls of the denoiser and of the classifier per image; gradients count as the forward calls they are worth."""

    denoiser: float
    classifier: float

    def __add__(self, other: "Calls") -> "Calls":  # type: ignore[override]
        return Calls(self.denoiser + other.denoiser, self.classifier + other.classifier)

    def times(self, n: float | int) -> "Calls":
        """So many times these."""
        return Calls(n * self.denoiser, n * self.classifier)


def prediction_calls(predict: Any, *, scanned: bool = False, measures: bool = True) -> Calls:
    """Of one prediction for an image with the mean deviation of the calibration.

    `scanned` counts every step of the longest grid, as a differentiable walk takes them. Without `measures` the
    deviation is known.
    """
    calls = sum(_of_purifier(purify, scanned, measures) for purify in predict.purifiers)
    return Calls(calls, n_classified(predict)).times(n_votes(predict))


def attack_calls(predict: Any, attack: Attack | Ensemble, objective: Objective) -> Calls:
    """Of an attack on an image; in an ensemble every attack is counted, as if the image stood to the end."""
    if isinstance(attack, Ensemble):
        return sum((attack_calls(predict, one, objective) for one in attack.attacks), Calls(0, 0))
    inner, draws = getattr(attack, "attack", attack), getattr(attack, "n_draws", None) or objective.n_draws
    differentiated = objective.of(predict).predict
    worth = 1 if isinstance(inner, Square | Spsa) else GRADIENT
    one = prediction_calls(differentiated, scanned=True, measures=not objective.hold).times(worth * draws)
    measured = Calls(sum(_n_measured(purify) for purify in differentiated.purifiers), 0)
    return (one + measured.times(objective.hold)).times(attack.n_iterations)


def _of_purifier(purify: Any, scanned: bool, measures: bool) -> float:
    purify = getattr(purify, "purify", purify)  # of a BPDA stand-in, the purification it shows
    deviation = jnp.full(1, typical_deviation(purify), jnp.float32)
    total = float(_n_measured(purify)) if measures else 0.0
    for round in purify.rounds:
        levels = np.asarray(round.grid(purify.schedule, round.level(deviation)))
        moves = len(levels) - 1 if scanned else int((levels[:-1] != levels[1:]).sum())
        total += round.repeats * round.step.n_calls * moves + round.reference.n_calls * (moves > 0)
    return total


def _n_measured(purify: Any) -> int:
    purify = getattr(purify, "purify", purify)
    return int(purify.deviation.n_calls)


def typical_deviation(purify: Any) -> float:
    """The deviation at which the noise levels of a purifier are in the middle; 0 where they look at none."""
    values = [value for round in purify.rounds for value in _middles(round.level)]
    return values[0] if values else 0.0


def _middles(level: Any) -> list[float]:
    """What a level, or one inside it, has as its middle."""
    if hasattr(level, "mean"):
        return [float(level.mean)]
    if hasattr(level, "low") and hasattr(level, "high"):
        return [(float(level.low) + float(level.high)) / 2]
    fields = dataclasses.fields(level) if dataclasses.is_dataclass(level) else ()
    return [middle for field in fields for middle in _middles(getattr(level, field.name))]
