"""From the small CIFAR-10 denoiser to a consistency model, by easy consistency tuning: the second of three steps."""

from ssni_jax.data import Npz
from ssni_jax.experiments import Training
from ssni_jax.networks import ConsistencyCoefficients, SongUNetConfig
from ssni_jax.training import Mirror, RAdam, Ratios, easy_consistency_tuning
from ssni_jax.zoo import Pretrained

experiment = Training(
    name="cifar10-small-consistency",
    network=SongUNetConfig(
        resolution=32, model_channels=32, channel_mult=(1, 2, 3), num_blocks=1, attn_resolutions=(8,), dropout=0.0
    ),
    start=Pretrained("cifar10-small-edm"),
    loss=easy_consistency_tuning(
        ConsistencyCoefficients(label_scale=0.25),
        pairs=Ratios(log_mean=-0.4, log_std=1.0, q=2.0, n_stages=6),
        augment=(Mirror(),),
    ),
    images=Npz("data/cifar10/cifar10_train_*.npz"),
    optimizer=RAdam(learning_rate=3e-4, decay_to=0.1, clip=1.0),
    batch_size=32,
    n_steps=1000,
    save_every=250,
    ema_decay=0.995,
)
