"""Consistency training on CIFAR-10 as published (Song et al. 2023, arXiv:2303.01469, appendix C): no teacher."""

from dataclasses import replace

from ssni_jax.convert.public_shapes import JCM_CIFAR10
from ssni_jax.data import Npz
from ssni_jax.experiments import Training
from ssni_jax.networks import Perceptual
from ssni_jax.published import Published
from ssni_jax.training import Mirror, RAdam, consistency_training

experiment = Training(
    name="cifar10-consistency-ct",
    network=replace(JCM_CIFAR10, dtype="bfloat16"),
    loss=consistency_training(distance=Perceptual(Published("lpips_v0.1_vgg")), augment=(Mirror(),)),
    images=Npz("data/cifar10/cifar10_train_*.npz"),
    optimizer=RAdam(learning_rate=4e-4),
    batch_size=512,
    n_steps=800_000,
    save_every=10_000,
    ema_decay=0.9999,
)
