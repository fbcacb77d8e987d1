"""Improved consistency training on CIFAR-10 as published (Song & Dhariwal 2023, arXiv:2310.14189, table 1)."""

from ssni_jax.data import Npz
from ssni_jax.experiments import Training
from ssni_jax.networks import SongUNetConfig
from ssni_jax.training import Mirror, RAdam, improved_consistency_training

experiment = Training(
    name="cifar10-consistency-ict",
    network=SongUNetConfig(
        resolution=32,
        model_channels=128,
        channel_mult=(2, 2, 2),
        num_blocks=4,
        attn_resolutions=(16,),
        dropout=0.3,
        embedding_type="fourier",
        channel_mult_noise=2,
        encoder_type="residual",
        resample_filter=(1, 3, 3, 1),
        dtype="bfloat16",
    ),
    loss=improved_consistency_training(augment=(Mirror(),)),
    images=Npz("data/cifar10/cifar10_train_*.npz"),
    optimizer=RAdam(learning_rate=1e-4),
    batch_size=1024,
    n_steps=400_000,
    save_every=10_000,
    ema_decay=0.99993,
)
