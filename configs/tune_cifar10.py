"""Easy consistency tuning on CIFAR-10 as published (Geng et al. 2024, arXiv:2406.14548), from an EDM checkpoint."""

from ssni_jax.data import Npz
from ssni_jax.experiments import Training
from ssni_jax.networks import EdmCoefficients, SongUNetConfig
from ssni_jax.published import Published
from ssni_jax.training import RAdam, Ratios, easy_consistency_tuning

experiment = Training(
    name="cifar10-consistency-ect",
    network=SongUNetConfig(
        resolution=32, channel_mult=(2, 2, 2), attn_resolutions=(16,), dropout=0.2, augment_dim=9, dtype="bfloat16"
    ),
    start=Published("edm-cifar10-uncond-vp"),
    loss=easy_consistency_tuning(EdmCoefficients(), pairs=Ratios(log_mean=-1.1, log_std=2.0, q=2.0, n_stages=8)),
    images=Npz("data/cifar10/cifar10_train_*.npz"),
    optimizer=RAdam(learning_rate=1e-4),
    batch_size=128,
    n_steps=200_000,
    save_every=10_000,
    ema_decay=0.9999,
)
