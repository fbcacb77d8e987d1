"""Consistency fine-tuning on CIFAR-10 as published (Consistency Purification, arXiv:2407.00623, section 4.2).

`Snapped` is the released code's: the network is told the nearest of 18 levels. Leave it out for the exact noise.
"""

from ssni_jax.data import Npz
from ssni_jax.experiments import Training
from ssni_jax.networks import ConsistencyCoefficients, Perceptual, Snapped, SongUNetConfig
from ssni_jax.published import Published
from ssni_jax.training import ConsistencyFineTuning, Mirror, RAdam

experiment = Training(
    name="cifar10-consistency-finetuned",
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
