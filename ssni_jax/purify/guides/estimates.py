"""Guides that leave the image being purified aside, and several of them in a row."""

import jax.numpy as jnp

from ssni_jax.core.protocols import Guide
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import fold
from ssni_jax.core.types import DenoiseFn, Images, Keys
from ssni_jax.solvers.adjusted import Adjusted


@pytree
class Unguided:
    """The denoiser itself."""

    def __call__(self, denoise: DenoiseFn, keys: Keys, reference: Images) -> DenoiseFn:
        return denoise


@pytree
class ClippedEstimate:
    """Estimates clipped to [-1, 1], as DDPM samplers do (Ho et al. 2020, code); no gradient where they were outside."""

    def __call__(self, denoise: DenoiseFn, keys: Keys, reference: Images) -> DenoiseFn:
        return Adjusted(denoise, lambda x, sigma, x0: jnp.clip(x0, -1.0, 1.0))


@pytree
class Chain:
    """Guides one after the other, the first one next to the network."""

    guides: tuple[Guide, ...]

    def __call__(self, denoise: DenoiseFn, keys: Keys, reference: Images) -> DenoiseFn:
        for i, guide in enumerate(self.guides):
            denoise = guide(denoise, fold(keys, i), reference)
        return denoise
