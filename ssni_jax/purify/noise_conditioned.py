"""A classifier that is told the smoothing noise and needs no purifier (Lei et al. 2025, arXiv:2501.13094)."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from ssni_jax.core.protocols import Trace
from ssni_jax.core.pytree import pytree
from ssni_jax.core.save_at import NOTHING, SaveAt
from ssni_jax.core.types import Images, Keys
from ssni_jax.purify.predictors import Predictor


@pytree
class NoiseConditioned(Predictor):
    """A predictor around `classify(x, sigma)`, such as a stored NoiseVit; `sigma` is the noise of images in [0, 1].

    Certification sets `sigma`, so that one network serves all its noise levels; elsewhere images have none.
    """

    classify: Any
    sigma: float = 0.0

    def trace(self, keys: Keys, x: Images, save: SaveAt | None = NOTHING) -> Trace:
        zero = jnp.zeros(len(x))
        logits = self.classify(x, jnp.full(len(x), self.sigma, jnp.float32))
        return Trace(logits, logits, x, x, zero, jnp.zeros((len(x), 0)), zero)

    def at_noise(self, sigma: float) -> "NoiseConditioned":
        return dataclasses.replace(self, sigma=sigma)
