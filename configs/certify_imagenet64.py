"""Consistency Purification on ImageNet-64: OpenAI's distilled model, class by class, before a classifier of yours.

The released consistency model is class-conditional, and purification does not know the class: every image is told
class 0, which the paper leaves open. Fine-tune with `configs/finetune_imagenet64.py` first.
"""

from ssni_jax.core.protocols import Predict
from ssni_jax.data import ImageFolder
from ssni_jax.experiments import Certification
from ssni_jax.networks import Conditioned, Perceptual
from ssni_jax.published import Published
from ssni_jax.purify import Defense
from ssni_jax.recipes import consistency, edm_one_step
from ssni_jax.zoo import Pretrained

classify = Pretrained("weights/imagenet64-classifier")
edm = Conditioned(Published("edm-imagenet64", "bfloat16"), 0, 1000)
finetuned = Conditioned(Pretrained("weights/imagenet64-consistency-finetuned", "bfloat16"), 0, 1000)


def certification(name: str, defense: Predict) -> Certification:
    """N0 = 100, N = 10,000, alpha = 0.001, as published for ImageNet."""
    distance = Perceptual(Published("lpips_v0.1_vgg"), size=224)
    images = ImageFolder("data/imagenet64/val", size=64)
    return Certification(name, defense, images, every=100, distance=distance, batch_size=1024)


experiments = (
    certification("One-step EDM", Defense(edm_one_step(edm), classify)),
    certification("Consistency, fine-tuned", Defense(consistency(finetuned), classify)),
)
