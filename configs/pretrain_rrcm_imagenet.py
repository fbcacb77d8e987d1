"""rRCM-B's pre-training on ImageNet as released (Lei et al. 2025, arXiv:2501.13094; jiachenlei/rRCM): 32 GPUs there.

Blur, solarisation and hue of the released views are not built, and the patch embedding learns here, where the
released code holds it at its initialisation.
"""

from ssni_jax.data import ImageFolder
from ssni_jax.experiments import Training
from ssni_jax.networks import NoiseVitConfig
from ssni_jax.training import Adam, Grey, Jitter, Mirror, RepresentationConsistency, ResizedCrop, RisingAverage

experiment = Training(
    name="imagenet-rrcm-encoder",
    network=NoiseVitConfig(
        resolution=224, patch=16, hidden=4096, n_classes=1000, norm_before_head=True, dtype="bfloat16"
    ),
    loss=RepresentationConsistency(
        target=RisingAverage(rate=10.0),
        views=(ResizedCrop(0.08), Jitter(), Grey(0.2), Mirror()),
        augment=(Mirror(),),
    ),
    images=ImageFolder("data/imagenet/train", size=224),
    optimizer=Adam(learning_rate=2e-4, warmup=15_000, decay_to=0.0, weight_decay=0.03, clip=2.0),
    batch_size=4096,
    n_steps=600_000,
    save_every=5_000,
    ema_decay=0.99,
)
