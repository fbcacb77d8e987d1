"""rRCM-B's fine-tuning on CIFAR-10 for one smoothing noise (Lei et al. 2025, arXiv:2501.13094; jiachenlei/rRCM).

As released for sigma 0.25; for 0.5 add `--loss.sigmas 0.5 --loss.weight 20`, and for 1.0
`--loss.sigmas 1.0 --loss.weight 20 --optimizer.decay 0.65`. Learning rate 2e-4 at a batch of 256 becomes 8e-4 at 1024,
over 100 epochs of which 10 rise.
"""

from ssni_jax.data import Npz
from ssni_jax.experiments import Training
from ssni_jax.networks import ConsistencyCoefficients, NoiseVitConfig, Snapped
from ssni_jax.training import Adam, ConsistentClassification, LayerwiseDecay
from ssni_jax.zoo import Pretrained

experiment = Training(
    name="cifar10-rrcm",
    network=NoiseVitConfig(n_classes=10, dtype="bfloat16"),
    start=Pretrained("weights/cifar10-rrcm-encoder"),
    loss=ConsistentClassification(Snapped(ConsistencyCoefficients(), n=81), sigmas=(0.25,), weight=10.0),
    images=Npz("data/cifar10/cifar10_train_*.npz"),
    optimizer=LayerwiseDecay(Adam(learning_rate=8e-4, warmup=480, decay_to=0.0, clip=0.0), decay=0.75),
    batch_size=1024,
    n_steps=4_800,
    save_every=480,
    ema_decay=0.0,
)
