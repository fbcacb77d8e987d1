"""How much noise a sample gets: maps from its deviation to schedule time t, SSNI's reweighting functions among them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssni_jax.core.bounds import as_share, bounded
from ssni_jax.core.protocols import FixedLevel, NoiseLevel
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Level

Number = float | Float[Array, ""]


class _Continuous:
    """What levels have in common that neither round t nor look at their batch."""

    adaptive = True
    sees_batch = False
    t_star: float

    def fixed(self) -> FixedLevel:
        return Constant(self.t_star)

    def soft(self):
        return self

    def straight_through(self):
        return self

    def in_batch(self, deviation: Level) -> Any:
        return self


@pytree
class Constant(_Continuous):
    """The same t_star for every sample, whatever its deviation: the fixed-level methods."""

    t_star: float = bounded(0, default=0.1)
    adaptive = False

    def __call__(self, deviation: Level) -> Level:
        return jnp.broadcast_to(jnp.asarray(self.t_star, jnp.float32), deviation.shape)

    def fixed(self) -> "Constant":
        return self


@pytree
class SsniLinear(_Continuous):
    """SSNI-L (arXiv:2506.06027, eq. for f_linear): t = t_star (xi - low) / (high - low) + bias.

    `low` and `high` are the extremes of the calibration norms. Norms outside are clipped to them, so that a row's t
    does not depend on its batch (the released code widens the range by the batch instead).
    """

    low: Number = bounded()
    high: Number = bounded()
    t_star: Number = bounded(0, 1, hint=as_share, default=0.1)
    bias: Number = bounded(-1, 1, hint=as_share, default=0.0)

    def __call__(self, deviation: Level) -> Level:
        weight = (deviation - self.low) / (self.high - self.low)
        return self.t_star * jnp.clip(weight, 0.0, 1.0) + self.bias


@pytree
class SsniLinearOverBatch(_Continuous):
    """SSNI-L as released: `SsniLinear` on the range of the calibration norms and of the present batch together.

    A row's t then depends on the other rows, which breaks the law that a batch is a bag: for reproduction only. The
    batch is the global one, on however many devices it lies. Rows that pad a batch repeat one of its own rows, so they
    do not widen the range. No gradient flows through the extremes.
    """

    low: float = bounded()
    high: float = bounded()
    t_star: float = bounded(0, 1, hint=as_share, default=0.1)
    bias: float = bounded(-1, 1, hint=as_share, default=0.0)
    sees_batch = True

    def __call__(self, deviation: Level) -> Level:
        return self.in_batch(deviation)(deviation)

    def in_batch(self, deviation: Level) -> SsniLinear:
        """`SsniLinear` on the range of the calibration norms and of these deviations."""
        low, high = _extremes(jax.lax.stop_gradient(deviation))
        return SsniLinear(jnp.minimum(self.low, low), jnp.maximum(self.high, high), self.t_star, self.bias)


@pytree
class SsniSigmoid(_Continuous):
    """SSNI-N (arXiv:2506.06027, eq. for f_sigmoid): t = (t_star + bias) sigmoid((xi - mean) / tau).

    `mean` is the mean calibration norm, so a typical clean sample gets (t_star + bias) / 2.
    """

    mean: float = bounded()
    tau: float = bounded(0, above=True)
    t_star: float = bounded(0, 1, hint=as_share, default=0.1)
    bias: float = bounded(-1, 1, hint=as_share, default=0.0)

    def __call__(self, deviation: Level) -> Level:
        return (self.t_star + self.bias) * jax.nn.sigmoid((deviation - self.mean) / self.tau)


@pytree
class SsniStep(_Continuous):
    """t_star + bias above the threshold and zero, which leaves the image as it is, up to it: SSNI-N as tau goes to 0.

    For attacks through t(x), `soft` is SSNI-N at `tau` around the threshold.
    """

    threshold: float = bounded()
    tau: float = bounded(0, above=True)
    t_star: float = bounded(0, 1, hint=as_share, default=0.1)
    bias: float = bounded(-1, 1, hint=as_share, default=0.0)

    def __call__(self, deviation: Level) -> Level:
        above = jnp.where(jnp.isnan(deviation), deviation, deviation > self.threshold)
        return (self.t_star + self.bias) * above

    def soft(self) -> SsniSigmoid:
        return SsniSigmoid(self.threshold, self.tau, self.t_star, self.bias)

    def straight_through(self) -> "StraightThrough":
        return StraightThrough(self)


@pytree
class SsniMonotone(_Continuous):
    """t = t_star weight(xi) + bias, the weight linear between increasing `knots` and constant outside: learned SSNI-L.

    `weights` are the values at the knots, non-decreasing; (low, high) and (0, 1) are SSNI-L.
    """

    knots: tuple[float, ...] = static()
    weights: tuple[float, ...] = static()
    t_star: float = bounded(0, 1, hint=as_share, default=0.1)
    bias: float = bounded(-1, 1, hint=as_share, default=0.0)

    def __post_init__(self):
        if not self.knots or len(self.knots) != len(self.weights):
            raise ValueError(f"Each knot has one weight, got {len(self.knots)} knots and {len(self.weights)} weights.")
        if any(np.diff(self.knots) <= 0) or any(np.diff(self.weights) < 0):
            raise ValueError("Knots must increase and weights must not decrease: fit them with ssni_monotone.")

    def __call__(self, deviation: Level) -> Level:
        knots, weights = (jnp.asarray(values, deviation.dtype) for values in (self.knots, self.weights))
        return self.t_star * jnp.interp(deviation, knots, weights) + self.bias


class _Around:
    """What levels have in common that change another one."""

    level: NoiseLevel

    @property
    def adaptive(self) -> bool:
        return self.level.adaptive

    @property
    def sees_batch(self) -> bool:
        """Whether t depends on the other rows of the batch."""
        return getattr(self.level, "sees_batch", False)

    def fixed(self) -> FixedLevel:
        return self.level.fixed()


@pytree
class Rounded(_Around):
    """t to the nearest of `n` integer steps, as published; its gradient is zero."""

    level: NoiseLevel
    n: int = static(default=1000)

    def __call__(self, deviation: Level) -> Level:
        return jnp.round(self.level(deviation) * self.n) / self.n

    def soft(self) -> NoiseLevel:
        return self.level.soft()

    def straight_through(self) -> "StraightThrough":
        return StraightThrough(self.level, self.n)

    def in_batch(self, deviation: Level) -> "Rounded":
        return Rounded(self.level.in_batch(deviation), self.n)


@pytree
class StraightThrough(_Around):
    """The value of `Rounded`, with the gradient that a soft t has (Bengio et al. 2013)."""

    level: NoiseLevel
    n: int = static(default=1000)

    def __call__(self, deviation: Level) -> Level:
        t, soft = self.level(deviation), self.level.soft()(deviation)
        return jax.lax.stop_gradient(jnp.round(t * self.n) / self.n) + (soft - jax.lax.stop_gradient(soft))

    def soft(self) -> NoiseLevel:
        return self.level.soft()

    def straight_through(self) -> "StraightThrough":
        return self

    def in_batch(self, deviation: Level) -> "StraightThrough":
        return StraightThrough(self.level.in_batch(deviation), self.n)


@pytree
class Frozen(_Around):
    """The level's value without its gradient: an attacker sees t(x) but cannot differentiate through it."""

    level: NoiseLevel

    def __call__(self, deviation: Level) -> Level:
        return jax.lax.stop_gradient(self.level(deviation))

    def soft(self) -> "Frozen":
        return Frozen(self.level.soft())

    def straight_through(self) -> "Frozen":
        return self

    def in_batch(self, deviation: Level) -> "Frozen":
        return Frozen(self.level.in_batch(deviation))


def _extremes(deviation: Level) -> tuple[jax.Array, jax.Array]:
    """Smallest and largest value of the global batch, also where each device sees only its own rows of it."""
    low, high = jnp.min(deviation), jnp.max(deviation)
    axes = tuple(jax.sharding.get_abstract_mesh().manual_axes)  # inside shard_map: the axes the rows are split over
    return (jax.lax.pmin(low, axes), jax.lax.pmax(high, axes)) if axes else (low, high)
