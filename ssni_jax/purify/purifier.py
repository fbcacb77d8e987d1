"""The one purifier: measure the deviation once, then noise and denoise in rounds, each sample at its own level."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ssni_jax.core.arrays import to_diffusion_range, to_unit_range
from ssni_jax.core.protocols import (
    Classifier,
    Denoiser,
    Deviation,
    Grid,
    Guide,
    Noise,
    NoiseLevel,
    NoiseSchedule,
    Purified,
    Reference,
    Step,
)
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold
from ssni_jax.core.types import Images, Keys, Level, Levels, Logits
from ssni_jax.purify.deviation import Held, NoDeviation
from ssni_jax.purify.guides import Itself, Unguided
from ssni_jax.purify.guides.guided import Beside, Guided
from ssni_jax.purify.noises import Diffused
from ssni_jax.purify.walks import Scan, Walk


@pytree
class Round:
    """Noise to `level`, then walk `grid` back to zero with `step`; done `repeats` times in a row.

    `guide` leans towards `reference`, which is made of the purifier's input once a round.
    """

    level: NoiseLevel
    grid: Grid
    step: Step
    guide: Guide = Unguided()
    reference: Reference = Itself()
    noise: Noise = Diffused()
    repeats: int = static(default=1)

    def __post_init__(self):
        if self.repeats < 1:
            raise ValueError(f"A round is done at least once, not repeats={self.repeats}; leave the round out instead.")


@pytree
class Purifier:
    """A purification method as a value. No rounds means no purification."""

    denoise: Denoiser
    schedule: NoiseSchedule
    rounds: tuple[Round, ...]
    deviation: Deviation = NoDeviation()
    walk: Walk = Scan()

    def __call__(self, keys: Keys, x: Images) -> Images:
        return self.run(keys, x).image

    def run(self, keys: Keys, x: Images) -> Purified:
        """Purifies images in [0, 1] and says what it took; t has one row a round."""
        return self.run_from(keys, x, self.measure(keys, x))

    def run_from(self, keys: Keys, x: Images, deviation: Level) -> Purified:
        """`run` with the deviation that `measure` gave for the same keys and images."""
        state = noised = to_diffusion_range(x)
        n_calls = jnp.full(keys.shape, float(self.deviation.n_calls))
        times = self.times(deviation)
        for i, (each, t) in enumerate(zip(self.rounds, times, strict=True)):
            state, noisy, calls = self._run_round(fold(keys, 1 + i), each, t, state, to_diffusion_range(x))
            noised, n_calls = (noisy if i == 0 else noised), n_calls + calls
        return Purified(to_unit_range(state), deviation, times, n_calls, to_unit_range(noised))

    def measure(self, keys: Keys, x: Images) -> Level:
        """The deviation of images in [0, 1], with the draw that `run` would use."""
        return self.deviation(fold(keys, 0), to_diffusion_range(x))

    def times(self, deviation: Level) -> Levels:
        """t of every round for a deviation."""
        return (
            jnp.stack([each.level(deviation) for each in self.rounds])
            if self.rounds
            else jnp.zeros((0, len(deviation)))
        )

    def hold(self, keys: Keys, x: Images) -> "Purifier":
        """This purifier with the noise levels it would give `x` now, whatever it is called with later."""
        return dataclasses.replace(self, deviation=Held(jax.lax.stop_gradient(self.measure(keys, x))))

    def _run_round(self, keys, each, t, state, x):
        levels = self.schedule.sigma(each.grid(t))
        reference = each.reference(self.denoise, fold(keys, each.repeats), x)

        def repeat(state, i):
            draw = fold(keys, i)
            noised = each.noise(fold(draw, 0), state, levels[0])
            beside = lambda rows: Beside(self.denoise, reference[rows])  # noqa: E731
            return self.walk(fold(draw, 2), beside, Guided(each.step, each.guide), noised, levels), noised

        state, noised = jax.lax.scan(repeat, state, jnp.arange(each.repeats))
        n_moves = jnp.sum(levels[:-1] != levels[1:], axis=0)
        n_calls = each.repeats * each.step.n_calls * n_moves + each.reference.n_calls * (n_moves > 0)
        return state, noised[0], n_calls


@pytree
class Defense:
    """Purify, then classify: the predictor that is attacked and evaluated."""

    purify: Any
    classify: Classifier

    def __call__(self, keys: Keys, x: Images) -> Logits:
        return self.classify(self.purify(keys, x))

    def hold(self, keys: Keys, x: Images) -> "Defense":
        """This defence with the noise levels it would give `x` now."""
        return dataclasses.replace(self, purify=self.purify.hold(keys, x))
