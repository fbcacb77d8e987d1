"""rRCM-B's certificates on ImageNet (Lei et al. 2025, arXiv:2501.13094): one network for each noise, no purifier.

N0 = 100, N = 10,000 and alpha = 0.001 on 500 validation images, every 100th. The weights are those of
`configs/finetune_rrcm_imagenet.py`, trained once per noise.
"""

from ssni_jax.data import ImageFolder
from ssni_jax.experiments import Certification
from ssni_jax.purify import NoiseConditioned
from ssni_jax.zoo import Pretrained

SIGMAS = (0.25, 0.5, 1.0)


def certification(sigma: float) -> Certification:
    """The network that was tuned for this noise."""
    classify = NoiseConditioned(Pretrained(f"weights/imagenet-rrcm-{sigma}", "bfloat16"))
    images = ImageFolder("data/imagenet/val", size=224)
    return Certification(f"rRCM-B, sigma {sigma}", classify, images, sigmas=(sigma,), every=100, batch_size=1024)


experiments = tuple(certification(sigma) for sigma in SIGMAS)
