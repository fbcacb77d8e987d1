"""The rRCM that ships with the package, on test images."""

import jax
import jax.numpy as jnp

from ssni_jax.core.rng import normal_like, sample_keys
from ssni_jax.data import Digits
from ssni_jax.purify import Defense, NoiseConditioned
from ssni_jax.recipes import unpurified
from ssni_jax.zoo import Pretrained, resolve

SIGMA = 0.25


def test_it_classifies_noisy_images_that_the_bare_classifier_does_not():
    test = Digits("test")
    keys, x, y = sample_keys(jax.random.key(0), jnp.arange(200)), jnp.asarray(test.images[:200]), test.labels[:200]
    noisy = x + SIGMA * normal_like(keys, x)

    def accuracy(predict):
        logits = jax.jit(lambda predict, keys, x: predict(keys, x))(resolve(predict).at_noise(SIGMA), keys, noisy)
        return float(jnp.mean(jnp.argmax(logits, axis=1) == y))

    bare = accuracy(Defense(unpurified(Pretrained("digits-score")), Pretrained("digits-classifier")))
    assert accuracy(NoiseConditioned(Pretrained("digits-rrcm"))) > max(0.85, bare + 0.1)
