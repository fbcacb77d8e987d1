"""Guidance by a spatial mask (Divide and Conquer, Pei et al., CVPR 2025)."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.core.arrays import over, to_unit_range
from ssni_jax.core.bounds import bounded
from ssni_jax.core.pytree import pytree
from ssni_jax.core.types import DenoiseFn, Images, Keys, Level
from ssni_jax.solvers.adjusted import Adjusted

Mask = Float[Array, "B H W 1"]


@runtime_checkable
class Masking(Protocol):
    """One where an image in [0, 1] gets more noise, zero elsewhere, or an intensity; a pytree as all in a guide."""

    def __call__(self, x: Images) -> Mask: ...


@pytree
class GivenMask:
    """The same mask for every image: zeros and ones, or an intensity per pixel for noise that is `Masked`."""

    values: Float[Array, "H W 1"]

    def __call__(self, x: Images) -> Mask:
        return jnp.broadcast_to(self.values, (len(x), *self.values.shape))


@pytree
class OutsideKept:
    """Above noise `sigma_outside`, estimates are the reference itself wherever `mask(reference)` is zero.

    The state there is then the reference at the current noise level, as in the paper's inpainting, and below that
    level everything is denoised: pixels inside get the round's noise, those outside get `sigma_outside`. No gradient
    goes through the mask.
    """

    mask: Masking
    sigma_outside: float = bounded(0)

    def __call__(self, denoise: DenoiseFn, keys: Keys, reference: Images) -> DenoiseFn:
        inside = jax.lax.stop_gradient(self.mask(to_unit_range(reference)))

        def kept_outside(x: Images, sigma: Level, x0: Images) -> Images:
            outside = over(jnp.where(sigma > self.sigma_outside, 1.0, 0.0), x) * (1 - inside)
            return outside * reference + (1 - outside) * x0

        return Adjusted(denoise, kept_outside)


@pytree
class Attention:
    """Where a classifier looks: one where its attention is at least `threshold`, else zero (0.9 for CIFAR-10).

    Attention of a block is the sum of its squared activations over channels, resized to the image and stretched to
    [0, 1]; blocks are combined by their maximum. `activations` gives one [B, h, w, c] a block.
    """

    activations: Any
    threshold: float = bounded(0, default=0.9)

    def __call__(self, x: Images) -> Mask:
        _, height, width, _ = x.shape
        maps = [_stretched(block, (height, width)) for block in self.activations(x)]
        return jnp.where(_largest(maps) >= self.threshold, 1.0, 0.0)[..., None]


def _stretched(block: Float[Array, "B h w C"], size: tuple[int, int]) -> Float[Array, "B H W"]:
    attention = jnp.sum(jnp.square(block), axis=-1)
    attention = jax.image.resize(attention, (len(block), *size), "bilinear", antialias=False)
    low, high = (end(attention, axis=(1, 2), keepdims=True) for end in (jnp.min, jnp.max))
    return (attention - low) / jnp.where(high > low, high - low, 1.0)


def _largest(maps: Sequence[Float[Array, "B H W"]]) -> Float[Array, "B H W"]:
    return jnp.max(jnp.stack(list(maps)), axis=0)
