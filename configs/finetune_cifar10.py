"""Consistency fine-tuning on CIFAR-10 as published (Consistency Purification, arXiv:2407.00623, section 4.2).

`Snapped` is the released code's: the network is told the nearest of 18 levels. Leave it out for the exact noise.
"""

from dataclasses import replace

from ssni_jax.convert.public_shapes import JCM_CIFAR10
from ssni_jax.data import Npz
from ssni_jax.experiments import Training
from ssni_jax.networks import ConsistencyCoefficients, Perceptual, Snapped
from ssni_jax.published import Published
from ssni_jax.training import ConsistencyFineTuning, Mirror, RAdam

experiment = Training(
    name="cifar10-consistency-finetuned",
    network=replace(JCM_CIFAR10, dtype="bfloat16"),
    start=Published("cd-lpips-cifar10"),
    loss=ConsistencyFineTuning(
        Snapped(ConsistencyCoefficients(label_scale=0.25)),
        distance=Perceptual(Published("lpips_v0.1_vgg"), size=224),
        augment=(Mirror(),),
    ),
    images=Npz("data/cifar10/cifar10_train_*.npz"),
    optimizer=RAdam(learning_rate=1e-4),
    batch_size=64,
    n_steps=400_000,
    save_every=2_000,
    ema_decay=0.9999,
)
