"""Guides: denoiser to denoiser, pulled towards the image being purified."""

from ssni_jax.core.pytree import pytree
from ssni_jax.core.types import DenoiseFn, Images, Keys


@pytree
class Unguided:
    """The denoiser itself."""

    def __call__(self, denoise: DenoiseFn, keys: Keys, reference: Images) -> DenoiseFn:
        return denoise
