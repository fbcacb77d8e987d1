"""rRCM-B's certificates on CIFAR-10 (Lei et al. 2025, arXiv:2501.13094): one network for each noise, no purifier.

N0 = 100, N = 100,000, alpha = 0.001 and the first 500 test images, as its code does. The weights are those of
`configs/finetune_rrcm_cifar10.py`, trained once per noise.
"""

from ssni_jax.data import Npz
from ssni_jax.experiments import Certification
from ssni_jax.purify import NoiseConditioned
from ssni_jax.zoo import Pretrained

SIGMAS = (0.25, 0.5, 1.0)


def certification(sigma: float) -> Certification:
    """The network that was tuned for this noise."""
    classify = NoiseConditioned(Pretrained(f"weights/cifar10-rrcm-{sigma}", "bfloat16"))
    images = Npz("data/cifar10/cifar10_test.npz")
    draws = {"n_estimation": 100_000, "n_images": 500, "batch_size": 1024}
    return Certification(f"rRCM-B, sigma {sigma}", classify, images, sigmas=(sigma,), **draws)


experiments = tuple(certification(sigma) for sigma in SIGMAS)
