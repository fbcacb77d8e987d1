"""rRCM-B's fine-tuning on ImageNet for one smoothing noise (Lei et al. 2025, arXiv:2501.13094; jiachenlei/rRCM).

For sigma 0.25: 150 epochs at a batch of 1024, label smoothing 0.1. Mixup 0.8, CutMix 1.0 and RandAugment of
the released run are not built; crops of 0.4 to 1 of the area are its "strong" augmentation. Sigma 0.5 had 50 epochs at
2048 and weight 20, sigma 1.0 150 epochs at 256, learning rate 1e-4 (of a batch of 256) and weight 20.
"""

from ssni_jax.data import ImageFolder
from ssni_jax.experiments import Training
from ssni_jax.networks import ConsistencyCoefficients, NoiseVitConfig, Snapped
from ssni_jax.training import Adam, ConsistentClassification, LayerwiseDecay, Mirror, ResizedCrop
from ssni_jax.zoo import Pretrained

experiment = Training(
    name="imagenet-rrcm",
    network=NoiseVitConfig(
        resolution=224, patch=16, hidden=4096, n_classes=1000, norm_before_head=True, dtype="bfloat16"
    ),
    start=Pretrained("weights/imagenet-rrcm-encoder"),
    loss=ConsistentClassification(
        Snapped(ConsistencyCoefficients(), n=81),
        sigmas=(0.25,),
        weight=10.0,
        label_smoothing=0.1,
        augment=(ResizedCrop(0.4), Mirror()),
    ),
    images=ImageFolder("data/imagenet/train", size=224),
    optimizer=LayerwiseDecay(Adam(learning_rate=8e-4, warmup=12_510, decay_to=0.0, clip=0.0), decay=0.65),
    batch_size=1024,
    n_steps=187_650,
    save_every=1_251,
    ema_decay=0.0,
)
