"""rRCM-B's pre-training on CIFAR-10 as released (Lei et al. 2025, arXiv:2501.13094; jiachenlei/rRCM).

Two transformations of the released views are not built: blur and solarisation. Its colour jitter also changes hue.
It trained in float16; here matrix products are bfloat16.
"""

from ssni_jax.data import Npz
from ssni_jax.experiments import Training
from ssni_jax.networks import NoiseVitConfig
from ssni_jax.training import Adam, Grey, Jitter, Mirror, RepresentationConsistency, ResizedCrop

experiment = Training(
    name="cifar10-rrcm-encoder",
    network=NoiseVitConfig(n_classes=10, dtype="bfloat16"),
    loss=RepresentationConsistency(
        views=(ResizedCrop(0.08), Jitter(), Grey(0.2), Mirror()),
        augment=(Mirror(),),
    ),
    images=Npz("data/cifar10/cifar10_train_*.npz"),
    optimizer=Adam(learning_rate=1e-4, warmup=10_000, decay_to=0.0, clip=2.0),
    batch_size=2048,
    n_steps=300_000,
    save_every=5_000,
    ema_decay=0.9999,
)
