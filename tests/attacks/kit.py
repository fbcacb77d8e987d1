"""What the tests of attacks share: a driver in one scan, and predictors whose answers are known."""

from typing import Any

import jax
import jax.numpy as jnp

from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import normal_like
from ssni_jax.purify import predictor
from ssni_jax.purify.predictors import Predictor


def state_after(attack, objective, keys, x, y):
    """The state after all iterations."""

    def iterate(state, i):
        return attack.update(keys, i, objective, state, x, y), None

    return jax.lax.scan(iterate, attack.init(keys, objective, x, y), jnp.arange(attack.n_iterations))[0]


@jax.jit
def driven(attack, objective, keys, x, y):
    """What the attack has found after all iterations."""
    return attack.result(state_after(attack, objective, keys, x, y))


@pytree
class NoisyLinear(Predictor):
    """Logits linear in the image's distance from `origin`; `noise` is what each draw adds to the image."""

    weights: jax.Array
    noise: float = 0.0
    origin: float = 0.0

    def trace(self, keys, x, save=None):
        logits = jnp.einsum("bhwc,hwck->bk", x - self.origin + self.noise * normal_like(keys, x), self.weights)
        return predictor(lambda x: logits).trace(keys, x)


@pytree
class Brightness(Predictor):
    """The logit of class 1 is a weighted brightness, that of class 0 is zero; every draw adds noise to the image."""

    weights: jax.Array
    noise: float = 0.0

    def trace(self, keys, x, save=None):
        bright = jnp.sum((x + self.noise * normal_like(keys, x)) * self.weights, axis=(1, 2, 3))
        logits = jnp.stack([jnp.zeros_like(bright), bright], axis=1)
        return predictor(lambda x: logits).trace(keys, x)


@pytree
class NanInTheDark(Predictor):
    """A predictor with NaN logits for images whose mean is below `below`."""

    inner: Any
    below: float = 0.2

    def trace(self, keys, x, save=None):
        logits = self.inner(keys, x) * jnp.where(jnp.mean(x, axis=(1, 2, 3)) < self.below, jnp.nan, 1.0)[:, None]
        return predictor(lambda x: logits).trace(keys, x)
