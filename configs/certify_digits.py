"""Denoised smoothing of the digits with every kind of purifier: what each is worth beside the bare classifier."""

from ssni_jax.core.protocols import Predict
from ssni_jax.data import Digits
from ssni_jax.experiments import Certification
from ssni_jax.networks import FeatureDistance
from ssni_jax.purify import Defense, Vote
from ssni_jax.recipes import consistency, dds, densepure, edm_one_step, pf_ode, unpurified
from ssni_jax.schedules import VP
from ssni_jax.zoo import Pretrained

score, classify = Pretrained("digits-score"), Pretrained("digits-classifier")
distilled, finetuned = Pretrained("digits-consistency"), Pretrained("digits-consistency-finetuned")


def certification(name: str, defense: Predict) -> Certification:
    """The same draws of the same images for every method."""
    distance = FeatureDistance(classify)
    return Certification(name, defense, Digits("test"), n_estimation=1000, n_images=40, every=10, distance=distance)


experiments = (
    certification("Plain classifier", Defense(unpurified(score), classify)),
    certification("One-step DDPM", Defense(dds(score, schedule=VP()), classify)),
    certification("One-step EDM", Defense(edm_one_step(score), classify)),
    certification("PF-ODE", Defense(pf_ode(score, n_steps=4), classify)),
    certification("DensePure", Vote(Defense(densepure(score, n_steps=2, schedule=VP()), classify), n=3)),
    certification("Consistency", Defense(consistency(distilled), classify)),
    certification("Consistency, fine-tuned", Defense(consistency(finetuned), classify)),
)
