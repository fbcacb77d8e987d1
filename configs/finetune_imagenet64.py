"""Consistency fine-tuning on ImageNet-64, from OpenAI's distilled model (arXiv:2407.00623, section 4.2).

The authors have not released this setting: it is CIFAR-10's, with a smaller learning rate.
"""

from ssni_jax.data import ImageFolder
from ssni_jax.experiments import Training
from ssni_jax.networks import AdmUNetConfig, ConsistencyCoefficients, Perceptual
from ssni_jax.published import Published
from ssni_jax.training import ConsistencyFineTuning, Mirror, RAdam

experiment = Training(
    name="imagenet64-consistency-finetuned",
    network=AdmUNetConfig(resolution=64, label_dim=1000, dropout=0.0, dtype="bfloat16", remat="blocks"),
    start=Published("cd-imagenet64"),
    loss=ConsistencyFineTuning(
        ConsistencyCoefficients(label_scale=250.0),
        distance=Perceptual(Published("lpips_v0.1_vgg"), size=224),
        augment=(Mirror(),),
        n_classes=1000,
    ),
    images=ImageFolder("data/imagenet64/train", size=64),
    optimizer=RAdam(learning_rate=8e-6),
    batch_size=256,
    n_accumulate=4,
    n_steps=100_000,
    save_every=2_000,
    ema_decay=0.9999,
)
