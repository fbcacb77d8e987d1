"""How much noise a sample gets: maps from its deviation to schedule time t, SSNI's reweighting functions among them."""

import jax
import jax.numpy as jnp

from ssni_jax.core.protocols import NoiseLevel
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Level


@pytree
class Constant:
    """The same t_star for every sample, whatever its deviation: the fixed-level methods."""

    t_star: float = 0.1

    def __call__(self, deviation: Level) -> Level:
        return jnp.broadcast_to(jnp.asarray(self.t_star, jnp.float32), deviation.shape)


@pytree
class SsniLinear:
    """SSNI-L (arXiv:2506.06027, eq. for f_linear): t = t_star (xi - low) / (high - low) + bias.

    `low` and `high` are the extremes of the calibration norms. Norms outside are clipped to them, so that a row's t
    does not depend on its batch (the released code widens the range by the batch instead).
    """

    low: float
    high: float
    t_star: float = 0.1
    bias: float = 0.0

    def __call__(self, deviation: Level) -> Level:
        weight = (deviation - self.low) / (self.high - self.low)
        return self.t_star * jnp.clip(weight, 0.0, 1.0) + self.bias


@pytree
class SsniLinearOverBatch:
    """SSNI-L as released: `SsniLinear` on the range of the calibration norms and of the present batch together.

    A row's t then depends on the other rows, which breaks the law that a batch is a bag: for reproduction only.
    """

    low: float
    high: float
    t_star: float = 0.1
    bias: float = 0.0

    def __call__(self, deviation: Level) -> Level:
        low, high = jnp.minimum(self.low, jnp.min(deviation)), jnp.maximum(self.high, jnp.max(deviation))
        return self.t_star * (deviation - low) / (high - low) + self.bias


@pytree
class SsniSigmoid:
    """SSNI-N (arXiv:2506.06027, eq. for f_sigmoid): t = (t_star + bias) sigmoid((xi - mean) / tau).

    `mean` is the mean calibration norm, so a typical clean sample gets (t_star + bias) / 2.
    """

    mean: float
    tau: float
    t_star: float = 0.1
    bias: float = 0.0

    def __call__(self, deviation: Level) -> Level:
        return (self.t_star + self.bias) * jax.nn.sigmoid((deviation - self.mean) / self.tau)


@pytree
class Rounded:
    """t to the nearest of `n` integer steps, as published; its gradient is zero."""

    level: NoiseLevel
    n: int = static(default=1000)

    def __call__(self, deviation: Level) -> Level:
        return jnp.round(self.level(deviation) * self.n) / self.n


@pytree
class StraightThrough:
    """The value of `Rounded`, with the gradient that t has before rounding (Bengio et al. 2013)."""

    level: NoiseLevel
    n: int = static(default=1000)

    def __call__(self, deviation: Level) -> Level:
        t = self.level(deviation)
        return jax.lax.stop_gradient(jnp.round(t * self.n) / self.n) + (t - jax.lax.stop_gradient(t))


@pytree
class Frozen:
    """The level's value without its gradient: an attacker sees t(x) but cannot differentiate through it."""

    level: NoiseLevel

    def __call__(self, deviation: Level) -> Level:
        return jax.lax.stop_gradient(self.level(deviation))
