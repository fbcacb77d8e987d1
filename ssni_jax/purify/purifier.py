"""The one purifier: measure the deviation once, then noise and denoise in rounds, each sample at its own level."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.core.arrays import to_diffusion_range, to_unit_range
from ssni_jax.core.bounds import SHARE, check_number
from ssni_jax.core.protocols import Denoiser, Deviation, NoiseLevel, NoiseSchedule, Purified
from ssni_jax.core.pytree import ADDED, pytree, static
from ssni_jax.core.rng import fold
from ssni_jax.core.save_at import NOTHING, SaveAt
from ssni_jax.core.types import Images, Keys, Level, Levels, State, Tree
from ssni_jax.purify.deviation import Held, NoDeviation
from ssni_jax.purify.guides.guided import Guided, WithReference
from ssni_jax.purify.levels import Frozen
from ssni_jax.purify.round import Round
from ssni_jax.purify.walks import Ragged, Scan, Walk
from ssni_jax.solvers.saving import Observed


@pytree
class Purifier:
    """A purification method as a value. No rounds means no purification.

    With `size` the rounds work on images that are resized to size x size, and back afterwards, bilinearly and without
    antialiasing, as the ImageNet code of DiffPure and SSNI does; the deviation is measured on the image as given.
    """

    denoise: Denoiser
    schedule: NoiseSchedule
    rounds: tuple[Round, ...]
    deviation: Deviation = NoDeviation()
    walk: Walk = Scan()
    size: int | None = static(default=None, metadata=ADDED)

    def __post_init__(self):
        """In schedules whose time is a share, no round may begin beyond the end of it."""
        if getattr(self.schedule, "n_integer_steps", 1) is not None:
            for round in self.rounds:
                check_number("t_star", getattr(round.level, "t_star", None), SHARE)

    def __call__(self, keys: Keys, x: Images) -> Images:
        return self.run(keys, x).image

    def run(self, keys: Keys, x: Images, save: SaveAt | None = NOTHING) -> Purified:
        """Purifies images in [0, 1] and says what it took; t has one row per round."""
        deviation = self.measure(keys, x)
        return self.run_at(keys, x, deviation, self.times(deviation), save)

    def measure(self, keys: Keys, x: Images) -> Level:
        """The deviation of images in [0, 1], with the draw that `run` would use."""
        return self.deviation(fold(keys, 0), to_diffusion_range(x))

    def times(self, deviation: Level) -> Levels:
        """t of every round for a deviation."""
        times = [round.level(deviation) for round in self.rounds]
        return jnp.stack(times) if times else jnp.zeros((0, len(deviation)))

    def run_at(self, keys: Keys, x: Images, deviation: Level, times: Levels, save: SaveAt | None = NOTHING) -> Purified:
        """`run` with the deviation and the times that `measure` and `times` gave for the same keys and images."""
        given = state = noised = resized(to_diffusion_range(x), *self._working_size(x))
        n_calls = jnp.full(keys.shape, float(self.deviation.n_calls))
        saved = []
        for i, (round, t) in enumerate(zip(self.rounds, times, strict=True)):
            state, noisy, calls, kept = self._run_round(fold(keys, 1 + i), round, t, state, given, save)
            noised, n_calls = (noisy if i == 0 else noised), n_calls + calls
            saved.append(kept)
        kept = None if save is NOTHING else tuple(saved)
        state, noised = (resized(image, *x.shape[1:3]) for image in (state, noised))
        return Purified(to_unit_range(state), deviation, times, n_calls, to_unit_range(noised), kept)

    def _working_size(self, x: Images) -> tuple[int, int]:
        return (x.shape[1], x.shape[2]) if self.size is None else (self.size, self.size)

    def hold(self, keys: Keys, x: Images) -> "Purifier":
        """This purifier with the noise levels it would give `x` now, whatever it is called with later."""
        return dataclasses.replace(self, deviation=Held(jax.lax.stop_gradient(self.measure(keys, x))))

    def at_noise(self, sigma: float) -> "Purifier":
        """This purifier for images that smoothing noised: x + sigma n in the [0, 1] range (Salman et al. 2020).

        The first round takes that state as it is, at the time whose noise is 2 sigma, whatever its own level was;
        repeats and later rounds stay as they are. Without rounds nothing changes.
        """
        if not self.rounds:
            return self
        first, *later = self.rounds
        return dataclasses.replace(self, rounds=(*first.at_noise(self.schedule, sigma), *later))

    def with_steps(self, n_steps: int) -> "Purifier":
        """The same method in at most `n_steps` solver steps per round: a surrogate (Lee & Kim 2023)."""
        if n_steps < 1:
            raise ValueError(f"A surrogate needs at least one solver step per round, got n_steps={n_steps}.")
        return self._with_rounds(lambda round: round.with_steps(n_steps))

    def soft(self) -> "Purifier":
        """The purifier without rounding of t, so that gradients flow through t(x) and the score norm."""
        return self._with_levels(lambda level: level.soft())

    def straight_through(self) -> "Purifier":
        """The purifier with t rounded as published, and gradients as if it had not been."""
        return self._with_levels(lambda level: level.straight_through())

    def frozen(self) -> "Purifier":
        """The purifier without a gradient through t(x)."""
        return self._with_levels(Frozen)

    def fixed(self) -> "Purifier":
        """The fixed-level method under a sample-specific one: every round at its t_star, nothing measured."""
        return dataclasses.replace(self._with_levels(lambda level: level.fixed()), deviation=NoDeviation())

    def in_batch(self, deviation: Level) -> "Purifier":
        """The purifier with the levels that it uses on a batch with these deviations."""
        return self._with_levels(lambda level: level.in_batch(deviation))

    def with_walk(self, walk: Walk) -> "Purifier":
        """The purifier whose rounds `walk` solves."""
        return dataclasses.replace(self, walk=walk)

    def ragged(self, n_slots: int = 16) -> "Purifier":
        """The purifier that charges every sample its own steps, without gradients."""
        return self.with_walk(Ragged(n_slots))

    def scanned(self) -> "Purifier":
        """The purifier that is differentiable, with all samples in step."""
        return self.with_walk(Scan())

    def _with_levels(self, change: Callable[[NoiseLevel], NoiseLevel]) -> "Purifier":
        return self._with_rounds(lambda round: round.with_level(change))

    def _with_rounds(self, change: Callable[[Round], Round]) -> "Purifier":
        return dataclasses.replace(self, rounds=tuple(map(change, self.rounds)))

    def _run_round(
        self, keys: Keys, round: Round, t: Level, state: Images, given: Images, save: SaveAt | None
    ) -> tuple[Images, Images, Level, Tree]:
        levels = round.grid(self.schedule, t)
        reference = round.reference(self.denoise, fold(keys, round.repeats), given)
        observed = Observed(self.denoise)
        step = Guided(round.step, round.guide)

        def denoise_at(rows: Any) -> WithReference:
            return WithReference(self.denoise if save is NOTHING else observed, reference[rows])

        def repeat(state: Images, i: Any) -> tuple[Images, tuple[Images, Tree]]:
            draw = fold(keys, i)
            noised = round.noise(fold(draw, 0), state, levels[0])
            begun = step.begin(state, noised, levels[0])
            if save is NOTHING:
                return step.image(self.walk(fold(draw, 2), denoise_at, step, begun, levels)), (noised, None)
            walk = saving(self.walk, step)
            moved, kept = walk(fold(draw, 2), denoise_at, step, begun, levels, observed, save, state)
            return step.image(moved), (noised, kept)

        state, (noised, kept) = jax.lax.scan(repeat, state, jnp.arange(round.repeats))
        n_moves = jnp.sum(levels[:-1] != levels[1:], axis=0)
        n_calls = round.repeats * round.step.n_calls * n_moves + round.reference.n_calls * (n_moves > 0)
        return state, noised[0], n_calls.astype(jnp.float32), jax.tree.map(lambda v: jnp.moveaxis(v, 0, 1), kept)


def resized(x: Images, height: int, width: int) -> Float[Array, "B _h _w C"]:
    """Images of another size by bilinear interpolation without antialiasing; unchanged where they have it."""
    if x.shape[1:3] == (height, width):
        return x
    return jax.image.resize(x, (len(x), height, width, x.shape[-1]), "linear", antialias=False)


def saving(walk: Walk, step: Guided) -> Callable[..., tuple[State, Tree]]:
    """The form of a walk that keeps what was asked for."""
    if not step.walks_noise:
        raise ValueError(
            f"The states of {type(step.step).__name__} have no noise level at which they could be shown: use a loss "
            "that does not look inside the purification."
        )
    keeps = getattr(walk, "saving", None)
    if keeps is None:
        raise ValueError(f"States cannot be saved under a {type(walk).__name__} walk: use `scanned()`.")
    return keeps
