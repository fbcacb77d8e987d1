"""What fine-tuning did to the consistency model that ships with the package, on test images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.arrays import to_diffusion_range
from ssni_jax.core.rng import normal_like, sample_keys
from ssni_jax.data import Digits
from ssni_jax.networks import FeatureDistance
from ssni_jax.recipes import consistency, edm_one_step
from ssni_jax.zoo import Pretrained, resolve

METHODS = {
    "one-step EDM": edm_one_step(Pretrained("digits-score")),
    "distilled": consistency(Pretrained("digits-consistency")),
    "fine-tuned": consistency(Pretrained("digits-consistency-finetuned")),
}
KEYS, X = sample_keys(jax.random.key(0), jnp.arange(200)), jnp.asarray(Digits("test").images[:200])


@pytest.fixture(scope="module")
def run():
    distance = FeatureDistance(Pretrained("digits-classifier").load())

    @jax.jit
    def far(purifier, distance, sigma):
        image = purifier(KEYS, X + sigma * normal_like(KEYS, X))
        return jnp.mean(distance(to_diffusion_range(image), to_diffusion_range(X)))

    return lambda name, sigma: float(far(resolve(METHODS[name].at_noise(sigma)), distance, sigma))


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0])
def test_fine_tuning_brings_purified_test_images_nearest_to_the_clean_ones(run, sigma):
    far = {name: run(name, sigma) for name in METHODS}
    print(sigma, far)
    assert far["fine-tuned"] < 0.98 * min(far["one-step EDM"], far["distilled"])


@pytest.mark.slow
def test_bundled_consistency_models_leave_images_of_the_least_noise_alone():
    x, apply = to_diffusion_range(X[:8]), jax.jit(lambda denoise, x, sigma: denoise(x, sigma))
    for name in ("digits-consistency", "digits-consistency-finetuned"):
        np.testing.assert_allclose(apply(Pretrained(name).load(), x, jnp.full(8, 0.005)), x, atol=1e-6)
