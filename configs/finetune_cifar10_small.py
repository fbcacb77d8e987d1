"""LPIPS fine-tuning of the small CIFAR-10 consistency model at the certification noises: the last of three steps.

LPIPS is the trained one on SqueezeNet, converted by the two commands in docs/consistency.md.
"""

from ssni_jax.data import Npz
from ssni_jax.experiments import Training
from ssni_jax.networks import ConsistencyCoefficients, Perceptual, SongUNetConfig
from ssni_jax.training import ConsistencyFineTuning, Mirror, RAdam
from ssni_jax.zoo import Pretrained

experiment = Training(
    name="cifar10-small-finetuned",
    network=SongUNetConfig(
        resolution=32, model_channels=32, channel_mult=(1, 2, 3), num_blocks=1, attn_resolutions=(8,), dropout=0.0
    ),
    start=Pretrained("cifar10-small-consistency"),
    loss=ConsistencyFineTuning(
        ConsistencyCoefficients(label_scale=0.25),
        distance=Perceptual(Pretrained("weights/lpips_v0.1_squeeze"), size=64),
        sigmas=(0.25, 0.5, 1.0),
        augment=(Mirror(),),
    ),
    images=Npz("data/cifar10/cifar10_train_*.npz"),
    optimizer=RAdam(learning_rate=2e-4, decay_to=0.1, clip=1.0),
    batch_size=32,
    n_steps=1000,
    save_every=250,
    ema_decay=0.995,
)
