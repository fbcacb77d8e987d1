"""Flow matching from noisy to clean images: FlowPure (Collaert et al. 2025, arXiv:2505.13280)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ssni_jax.core.arrays import over, to_diffusion_range
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.core.types import Keys, Tree
from ssni_jax.networks import FlowCoefficients
from ssni_jax.training.augment import Augment, augmented
from ssni_jax.training.losses import AUGMENT, DROPOUT, LEVEL, NOISE, LossValue


@pytree
class FlowMatchingLoss:
    """|v(x_t, t) - (x_1 - x_0)|^2 over pixels, x_t = (1 - t) x_0 + t x_1 with t uniform: conditional flow matching.

    x_1 is the clean image and x_0 = x_1 + std n, FlowPure's Gaussian corruption; its std of 0.3 is that of images in
    [0, 1], twice as much in the state, where velocities are learned here. The velocity makes a denoiser by the same
    `coefficients`, which is what is exported.
    """

    coefficients: FlowCoefficients = FlowCoefficients()
    augment: tuple[Augment, ...] = static(default=())

    def __call__(self, model: Tree, keys: Keys, batch: dict[str, Array]) -> LossValue:
        clean = to_diffusion_range(augmented(self.augment, fold(keys, AUGMENT), batch["image"]))
        t = jax.vmap(jax.random.uniform)(fold(keys, LEVEL))
        noisy = clean + self.coefficients.std * normal_like(fold(keys, NOISE), clean)
        x = over(1 - t, clean) * noisy + over(t, clean) * clean
        label = self.coefficients((1 - t) * self.coefficients.std).noise
        velocity = model(x, label, dropout_keys=fold(keys, DROPOUT))
        return jnp.mean(jnp.square(velocity - (clean - noisy))), {}
