"""Consistency Purification's table on CIFAR-10 (arXiv:2407.00623): the published draws, images, levels and networks.

The weights are the released ones, converted by `ssni convert`: jcm (cd-lpips, edm and the fine-tuned), improved
diffusion, and a classifier of yours.
"""

from ssni_jax.core.protocols import Predict
from ssni_jax.data import Npz
from ssni_jax.experiments import Certification
from ssni_jax.networks import Perceptual
from ssni_jax.published import Published
from ssni_jax.purify import Defense, Vote
from ssni_jax.recipes import consistency, consistency_released, dds, densepure, edm_one_step, pf_ode

classify = Published("cifar10-classifier")
ddpm, edm = Published("ddpm-cifar10", "bfloat16"), Published("edm-cifar10", "bfloat16")
distilled = Published("cd-lpips-cifar10", "bfloat16")
finetuned = Published("consistency-purification-cifar10", "bfloat16")


def certification(name: str, defense: Predict) -> Certification:
    """Every 20th test image, N0 = 100, N = 100,000, alpha = 0.001."""
    distance = Perceptual(Published("lpips_v0.1_vgg"), size=224)
    images = Npz("data/cifar10/cifar10_test.npz")
    return Certification(name, defense, images, n_estimation=100_000, every=20, distance=distance, batch_size=1024)


experiments = (
    certification("One-step DDPM", Defense(dds(ddpm), classify)),
    certification("One-step EDM", Defense(edm_one_step(edm), classify)),
    certification("PF-ODE", Defense(pf_ode(edm), classify)),
    certification("DensePure", Vote(Defense(densepure(ddpm, n_steps=10), classify), n=40)),
    certification("Consistency", Defense(consistency(distilled), classify)),
    certification("Consistency, fine-tuned", Defense(consistency_released(finetuned), classify)),
)
