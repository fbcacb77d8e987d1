"""The digits' rRCM beside the consistency purifier and the bare classifier: one call of a network for each draw."""

from ssni_jax.core.protocols import Predict
from ssni_jax.data import Digits
from ssni_jax.experiments import Certification
from ssni_jax.purify import Defense, NoiseConditioned
from ssni_jax.recipes import consistency, unpurified
from ssni_jax.zoo import Pretrained

classify, finetuned = Pretrained("digits-classifier"), Pretrained("digits-consistency-finetuned")


def certification(name: str, predict: Predict) -> Certification:
    """The same draws of the same 50 images for every method."""
    return Certification(name, predict, Digits("test"), n_estimation=1000, n_images=50, every=8)


experiments = (
    certification("Plain classifier", Defense(unpurified(Pretrained("digits-score")), classify)),
    certification("Consistency, fine-tuned", Defense(consistency(finetuned), classify)),
    certification("rRCM", NoiseConditioned(Pretrained("digits-rrcm"))),
)
