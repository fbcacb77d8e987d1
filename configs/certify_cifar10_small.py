"""Denoised smoothing of CIFAR-10 with the small networks of the package, before a ResNet-56.

The classifier and LPIPS are converted by the commands in docs/consistency.md. `--only NAME` takes single rows.
"""

from ssni_jax.core.protocols import Predict
from ssni_jax.data import Npz
from ssni_jax.experiments import Certification
from ssni_jax.networks import Perceptual
from ssni_jax.purify import Defense, Vote
from ssni_jax.recipes import consistency, dds, densepure, edm_one_step, pf_ode, unpurified
from ssni_jax.zoo import Pretrained

denoiser, classify = Pretrained("cifar10-small-edm"), Pretrained("weights/resnet56-4bfd9763")
tuned, finetuned = Pretrained("cifar10-small-consistency"), Pretrained("cifar10-small-finetuned")


def certification(name: str, defense: Predict) -> Certification:
    """Every 20th test image, as published; the number of draws is a tenth of what is common."""
    distance = Perceptual(Pretrained("weights/lpips_v0.1_squeeze"), size=64)
    images = Npz("data/cifar10/cifar10_test.npz")
    return Certification(name, defense, images, n_estimation=10_000, every=20, distance=distance)


experiments = (
    certification("Plain classifier", Defense(unpurified(denoiser), classify)),
    certification("One-step DDPM", Defense(dds(denoiser), classify)),
    certification("One-step EDM", Defense(edm_one_step(denoiser), classify)),
    certification("PF-ODE", Defense(pf_ode(denoiser, n_steps=5), classify)),
    certification("DensePure", Vote(Defense(densepure(denoiser, n_steps=5), classify), n=5)),
    certification("Consistency", Defense(consistency(tuned), classify)),
    certification("Consistency, fine-tuned", Defense(consistency(finetuned), classify)),
)
