"""The CIFAR-10 score network that ships with the package, on photographs of another source."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from ssni_jax.core.arrays import to_diffusion_range, to_unit_range
from ssni_jax.core.rng import normal_like, sample_keys
from ssni_jax.evals.quality import psnr
from ssni_jax.zoo import Pretrained, resolve


def photographs():
    """Two photographs at a quarter of their size, in 32 x 32 pieces, in [-1, 1]."""
    rows = np.stack(load_sample_images().images)[:, :384, :640].astype(np.float32) / 255
    small = rows.reshape(2, 96, 4, 160, 4, 3).mean(axis=(2, 4))
    pieces = small.reshape(2, 3, 32, 5, 32, 3).swapaxes(2, 3).reshape(-1, 32, 32, 3)
    return to_diffusion_range(jnp.asarray(pieces))


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2])
def test_it_denoises_better_than_the_network_it_began_with(sigma):
    x = photographs()
    noisy = x + sigma * normal_like(sample_keys(jax.random.key(0), jnp.arange(len(x))), x)

    def quality(name):
        denoise = resolve(Pretrained(name))
        restored = jax.jit(lambda denoise, x: denoise(x, jnp.full(len(x), sigma)))(denoise, noisy)
        return float(psnr(to_unit_range(restored), to_unit_range(x)).mean())

    assert quality("cifar10-small-score") > quality("cifar10-small-edm") + 0.2


def test_its_calibration_fits_it():
    network = Pretrained("cifar10-small-score")
    assert network.calibration().low < network.calibration().mean < network.calibration().high
