"""How much fresh noise an ancestral step adds: the variance of the reverse process, fixed or learned."""

from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.core.arrays import over, safe_sqrt
from ssni_jax.core.pytree import pytree
from ssni_jax.core.types import DenoiseFn, Images, Level

Deviations = Float[Array, "B ..."]


@runtime_checkable
class Variance(Protocol):
    """The denoised image, and the standard deviation of the noise of a step from `hi` to `lo`, zero at lo = 0.

    Both come from one network call; the standard deviation is that of the unscaled state and broadcasts to images.
    """

    def __call__(self, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> tuple[Images, Deviations]: ...


@pytree
class FixedSmall:
    """The posterior's variance given x0 (Ho et al. 2020, eq. 7)."""

    def __call__(self, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> tuple[Images, Deviations]:
        return denoise(x, hi), over(posterior_deviation(hi, lo), x)


@pytree
class FixedLarge:
    """beta, the variance of the forward step (Ho et al. 2020, section 3.2), of a variance-preserving process."""

    def __call__(self, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> tuple[Images, Deviations]:
        return denoise(x, hi), over(forward_deviation(hi, lo), x)


@pytree
class Learned:
    """Between the two, at the fraction that the network's extra channels say (Nichol & Dhariwal 2021, eq. 15).

    It asks the denoiser for `with_extra(x, sigma)`: the denoised image and those channels.
    """

    def __call__(self, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> tuple[Images, Deviations]:
        with_extra = getattr(denoise, "with_extra", None)
        if with_extra is None:
            raise ValueError(
                f"{type(denoise).__name__} does not offer `with_extra`, from which a learned variance is read: "
                "use an unguided denoiser that does, or variance=FixedSmall()."
            )
        x0, extra = with_extra(x, hi)
        if extra.shape != x.shape:
            raise ValueError(
                f"The network has {extra.shape[-1]} further channels, and a learned variance needs {x.shape[-1]}: "
                "use variance=FixedSmall() or FixedLarge()."
            )
        # At noise zero both are zero: a harmless logarithm, and no noise.
        small, large = (jnp.where(lo == 0, 1.0, v(hi, lo)) for v in (posterior_deviation, forward_deviation))
        share = (extra + 1) / 2
        log_deviation = share * over(jnp.log(large), x) + (1 - share) * over(jnp.log(small), x)
        return x0, over((lo > 0).astype(x.dtype), x) * jnp.exp(log_deviation)


def posterior_deviation(hi: Level, lo: Level) -> Level:
    """Of x at noise `lo`, given x at noise `hi` and x0."""
    return lo * safe_sqrt(1 - jnp.square(lo / hi))


def forward_deviation(hi: Level, lo: Level) -> Level:
    """sqrt(beta) of the step from `lo` to `hi`, over the scale at `lo`; zero at lo = 0, where no noise is added."""
    beta = (jnp.square(hi) - jnp.square(lo)) / (1 + jnp.square(hi))
    return jnp.where(lo == 0, 0.0, safe_sqrt(beta * (1 + jnp.square(lo))))
