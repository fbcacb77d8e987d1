"""Which two noise levels a consistency loss compares, and how often: values that may change over a run."""

import math
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ssni_jax.core.bounds import bounded
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Keys, Level

Step = Int[Array, ""]
Scalar = Float[Array, ""]


class Pair(NamedTuple):
    """A noise level of each row, the lower one it is compared with, and what the comparison weighs."""

    hi: Level
    lo: Level
    weight: Level


@runtime_checkable
class Pairs(Protocol):
    """Draws the levels of each row at one step of a run of `n_steps`."""

    def __call__(self, keys: Keys, step: Step, n_steps: int) -> Pair: ...


@runtime_checkable
class Curriculum(Protocol):
    """How many noise levels there are at one step of a run of `n_steps`."""

    def __call__(self, step: Step, n_steps: int) -> Scalar: ...


@pytree
class ConstantLevels:
    """The same number of noise levels throughout: consistency distillation has 18 on CIFAR-10 and 40 on ImageNet-64."""

    n: int = static(default=18)

    def __post_init__(self):
        if self.n < 2:
            raise ValueError(f"n={self.n} noise levels make no pair: choose at least 2.")

    def __call__(self, step: Step, n_steps: int) -> Scalar:
        return jnp.asarray(self.n, jnp.float32)


@pytree
class SquareRoot:
    """N(k) of consistency training (Song et al. 2023, appendix C), from s0 to s1 + 1 levels."""

    s0: int = static(default=2)
    s1: int = static(default=150)

    def __call__(self, step: Step, n_steps: int) -> Scalar:
        rise = (step / n_steps) * ((self.s1 + 1) ** 2 - self.s0**2)
        return jnp.ceil(jnp.sqrt(rise + self.s0**2) - 1) + 1


@pytree
class Doubling:
    """N(k) of improved consistency training (Song & Dhariwal 2023, eq. 8): s0 + 1 levels, doubled up to s1 + 1."""

    s0: int = static(default=10)
    s1: int = static(default=1280)

    def __call__(self, step: Step, n_steps: int) -> Scalar:
        n_stages = math.floor(math.log2(self.s1 // self.s0)) + 1
        doublings = step // max(1, n_steps // n_stages)
        return jnp.minimum(self.s0 * jnp.exp2(doublings.astype(jnp.float32)), self.s1) + 1


@pytree
class DoublingAhead:
    """rRCM's number of levels (Lei et al. 2025, code): s0 + 1 at the first step only, then doubled a stage early.

    min(s0 2^ceil(k / K'), s1) + 1 after k of K steps, K' = ceil(K / log2(ceil(s1 / s0) + 1)).
    """

    s0: int = static(default=20)
    s1: int = static(default=80)

    def __call__(self, step: Step, n_steps: int) -> Scalar:
        stage = math.ceil(n_steps / math.log2(math.ceil(self.s1 / self.s0) + 1))
        doublings = jnp.ceil(step / stage)
        return jnp.minimum(self.s0 * jnp.exp2(doublings), self.s1) + 1


@pytree
class Neighbours:
    """Adjacent levels of EDM's grid (Karras et al. 2022, eq. 5), ever closer as `curriculum` adds levels.

    Every pair is as likely, or, with `log_std`, in proportion to the mass that N(log_mean, log_std^2) of log sigma has
    between its levels (Song & Dhariwal 2023, eq. 10). `by_gap` weighs each with 1 / (hi - lo), eq. 9, else with 1.
    """

    curriculum: Curriculum = ConstantLevels()
    sigma_min: float = bounded(0, above=True, default=0.002)
    sigma_max: float = bounded(0, above=True, default=80.0)
    rho: float = bounded(0, above=True, default=7.0)
    log_mean: float = bounded(default=-1.1)
    log_std: float | None = bounded(0, above=True, default=None)
    by_gap: bool = static(default=False)

    def __call__(self, keys: Keys, step: Step, n_steps: int) -> Pair:
        n = self.curriculum(step, n_steps)
        share = jax.vmap(jax.random.uniform)(keys)
        place = jnp.floor(share * (n - 1)) if self.log_std is None else self._likelier(share, n, self.log_std)
        lo, hi = self.level(place, n), self.level(place + 1, n)
        return Pair(hi, lo, 1 / (hi - lo) if self.by_gap else jnp.ones_like(hi))

    def level(self, place: Float[Array, "*s"], n: Scalar) -> Float[Array, "*s"]:
        """Level number `place` of `n`, the smallest being number 0."""
        low, high = (end ** (1 / self.rho) for end in (self.sigma_min, self.sigma_max))
        return (low + place / (n - 1) * (high - low)) ** self.rho

    def _likelier(self, share: Level, n: Scalar, log_std: float | Scalar) -> Level:
        """Number of the pair that the normal quantile of `share`, within the grid, falls into."""
        ends = jnp.log(jnp.stack([jnp.asarray(self.sigma_min), jnp.asarray(self.sigma_max)]))
        least, most = jax.scipy.special.ndtr((ends - self.log_mean) / log_std)
        log_sigma = self.log_mean + log_std * jax.scipy.special.ndtri(least + share * (most - least))
        low, high = (end ** (1 / self.rho) for end in (self.sigma_min, self.sigma_max))
        place = (jnp.exp(log_sigma / self.rho) - low) / (high - low) * (n - 1)
        return jnp.clip(jnp.floor(place), 0, n - 2)


@pytree
class Ratios:
    """Continuous levels, the lower one a share of the upper (easy consistency tuning, Geng et al. 2024, section 3).

    ln hi ~ N(log_mean, log_std^2) and lo = hi (1 - q^-(stage + 1) (1 + 8 sigmoid(-hi))), at least 0, where the model
    is compared with the clean image; the weight is 1 / (hi - lo). The run's `n_stages` are equally long.
    """

    log_mean: float = bounded(default=-1.1)
    log_std: float = bounded(0, above=True, default=2.0)
    q: float = bounded(1, above=True, default=2.0)
    n_stages: int = static(default=8)
    sigma_max: float = bounded(0, above=True, default=80.0)

    def __post_init__(self):
        if self.n_stages < 1:
            raise ValueError(f"n_stages must be at least 1, got {self.n_stages}.")

    def __call__(self, keys: Keys, step: Step, n_steps: int) -> Pair:
        normal = jax.vmap(jax.random.normal)(keys)
        hi = jnp.minimum(jnp.exp(self.log_mean + self.log_std * normal), self.sigma_max)
        stage = jnp.minimum(step * self.n_stages // n_steps, self.n_stages - 1)
        gap = self.q ** -(stage + 1.0) * (1 + 8 * jax.nn.sigmoid(-hi))
        lo = hi * jnp.maximum(1 - gap, 0.0)
        return Pair(hi, lo, 1 / (hi - lo))
