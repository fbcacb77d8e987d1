"""Consistency distillation on CIFAR-10 as published (Song et al. 2023, arXiv:2303.01469): the JAX code's "cd-lpips"."""

from ssni_jax.data import Npz
from ssni_jax.experiments import Training
from ssni_jax.networks import Perceptual, SongUNetConfig
from ssni_jax.published import Published
from ssni_jax.training import Mirror, RAdam, consistency_distillation

TEACHER = Published("edm-cifar10")

experiment = Training(
    name="cifar10-consistency",
    network=SongUNetConfig(
        resolution=32,
        model_channels=128,
        channel_mult=(2, 2, 2),
        num_blocks=4,
        attn_resolutions=(16,),
        dropout=0.0,
        embedding_type="fourier",
        channel_mult_noise=2,
        encoder_type="residual",
        resample_filter=(1, 3, 3, 1),
        dtype="bfloat16",
    ),
    start=TEACHER,
    loss=consistency_distillation(TEACHER, distance=Perceptual(Published("lpips_v0.1_vgg")), augment=(Mirror(),)),
    images=Npz("data/cifar10/cifar10_train_*.npz"),
    optimizer=RAdam(learning_rate=4e-4),
    batch_size=512,
    n_steps=800_000,
    save_every=10_000,
    ema_decay=0.9999,
)
