"""How far an image is from clean data: the norm of its expected perturbation score, and simpler relatives."""

import jax
import jax.numpy as jnp

from ssni_jax.core.arrays import over, row_norm
from ssni_jax.core.bounds import as_share, bounded
from ssni_jax.core.protocols import Denoiser, NoiseSchedule
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold
from ssni_jax.core.types import DenoiseFn, Images, Keys, Level
from ssni_jax.solvers import diffuse


@pytree
class NoDeviation:
    """Zero for every sample: the deviation of methods whose level is given."""

    n_calls = 0

    def __call__(self, keys: Keys, x: Images) -> Level:
        return jnp.zeros(x.shape[0])


@pytree
class ScoreNorm:
    """Norm of the expected perturbation score (EPS) over the first `n_levels` times, SSNI's deviation.

    EPS(x) = mean over i of score(x noised to t_i = i / 1000), one draw a level; the result is the norm of that mean
    vector (arXiv:2506.06027; EPS: Zhang et al. 2023). The paper takes 20 levels for CIFAR-10 and 50 for ImageNet.
    Not `perturbed`, it takes the scores at the image itself. Differentiable; `n_together` levels share one call of the
    network and its memory, with the same draws. n levels evenly over the paper's range are `n_levels=n,
    spacing=0.02 / n`; docs/score-norm-cost.md measures what cheaper ones lose.
    """

    denoise: Denoiser
    schedule: NoiseSchedule
    n_levels: int = static(default=20)
    spacing: float = bounded(0, 1, above=True, hint=as_share, default=1e-3)
    perturbed: bool = static(default=True)
    n_together: int = static(default=1)

    def __post_init__(self):
        if self.n_levels < 1:
            raise ValueError(f"A score norm averages at least one level, not n_levels={self.n_levels}.")
        if self.n_together < 1 or self.n_levels % self.n_together:
            raise ValueError(
                f"{self.n_levels} levels cannot be evaluated n_together={self.n_together} at a time: "
                f"choose a divisor of {self.n_levels}."
            )

    @property
    def n_calls(self) -> int:
        return self.n_levels

    def __call__(self, keys: Keys, x: Images) -> Level:
        return row_norm(self.vector(keys, x))

    def vector(self, keys: Keys, x: Images) -> Images:
        """The expected perturbation score itself."""

        def score_at(i):
            t = jnp.broadcast_to(i * self.spacing, keys.shape)
            sigma = self.schedule.sigma(t)
            state = diffuse(fold(keys, i), x, sigma) if self.perturbed else x / over(self.schedule.scale(t), x)
            return score(self.denoise, self.schedule, state, sigma)

        def add_levels(total, indices):
            return total + jnp.sum(jax.vmap(score_at)(indices), axis=0), None

        indices = jnp.arange(1, self.n_levels + 1).reshape(-1, self.n_together)
        total, _ = jax.lax.scan(jax.checkpoint(add_levels), jnp.zeros_like(x), indices)
        return total / self.n_levels


@pytree
class SingleScoreNorm:
    """Norm of the score at one time, at the image itself without noise: SSNI's cheap ablation, one network call."""

    n_calls = 1
    denoise: Denoiser
    schedule: NoiseSchedule
    t: float = bounded(0, 1, hint=as_share, default=0.02)

    def __call__(self, keys: Keys, x: Images) -> Level:
        sigma = jnp.broadcast_to(self.schedule.sigma(jnp.asarray(self.t)), keys.shape)
        unscaled = x / over(self.schedule.scale(jnp.broadcast_to(jnp.asarray(self.t), keys.shape)), x)
        return row_norm(score(self.denoise, self.schedule, unscaled, sigma))


def quick_score_norm(denoise: Denoiser, schedule: NoiseSchedule) -> SingleScoreNorm:
    """The single score at t = 0.005: one network call, and the bundled digits are told apart as by the published 20.

    docs/score-norm-cost.md compares; for other networks compare again. It needs a calibration and a tau of its own.
    """
    return SingleScoreNorm(denoise, schedule, t=0.005)


@pytree
class Held:
    """A deviation measured earlier, row by row: what an attack holds fixed within one of its iterations."""

    n_calls = 0
    value: Level

    def __call__(self, keys: Keys, x: Images) -> Level:
        return self.value


def score(denoise: DenoiseFn, schedule: NoiseSchedule, x: Images, sigma: Level) -> Images:
    """Score of the schedule's scaled state scale * x at noise sigma: (denoise(x) - x) / (sigma^2 scale) (Tweedie)."""
    scale = schedule.scale(schedule.inverse(sigma))
    return (denoise(x, sigma) - x) / over(jnp.square(sigma) * scale, x)
