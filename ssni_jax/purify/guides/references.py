"""What of the image being purified a guide leans towards, made once a round."""

import jax.numpy as jnp

from ssni_jax.core.bounds import bounded
from ssni_jax.core.pytree import pytree
from ssni_jax.core.types import DenoiseFn, Images, Keys
from ssni_jax.solvers import diffuse


@pytree
class Itself:
    """The image as it came."""

    n_calls = 0

    def __call__(self, denoise: DenoiseFn, keys: Keys, x: Images) -> Images:
        return x


@pytree
class Estimated:
    """The one-step estimate of the image noised to `sigma`, FreqPure's reference (Pei et al. 2025, code)."""

    n_calls = 1
    sigma: float = bounded(0, default=0.1)

    def __call__(self, denoise: DenoiseFn, keys: Keys, x: Images) -> Images:
        sigma = jnp.broadcast_to(jnp.asarray(self.sigma, jnp.float32), keys.shape)
        return denoise(diffuse(keys, x, sigma), sigma)
