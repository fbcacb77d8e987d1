"""Consistency distillation on ImageNet-64 as published (Song et al. 2023, arXiv:2303.01469, appendix C)."""

from ssni_jax.data import ImageFolder
from ssni_jax.experiments import Training
from ssni_jax.networks import AdmUNetConfig, ConsistencyCoefficients, Perceptual
from ssni_jax.published import Published
from ssni_jax.training import Average, ConstantLevels, RAdam, consistency_distillation

TEACHER = Published("edm-imagenet64")

experiment = Training(
    name="imagenet64-consistency",
    network=AdmUNetConfig(resolution=64, label_dim=1000, dropout=0.0, dtype="bfloat16", remat="blocks"),
    start=TEACHER,
    loss=consistency_distillation(
        TEACHER,
        ConsistencyCoefficients(label_scale=250.0),
        curriculum=ConstantLevels(40),
        distance=Perceptual(Published("lpips_v0.1_vgg")),
        target=Average(0.95),
        n_classes=1000,
    ),
    images=ImageFolder("data/imagenet64/train", size=64),
    optimizer=RAdam(learning_rate=8e-6),
    batch_size=2048,
    n_accumulate=4,
    n_steps=600_000,
    save_every=10_000,
    ema_decay=0.999943,
)
