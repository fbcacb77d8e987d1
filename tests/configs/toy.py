"""A defence that compiles in seconds, for tests of whole commands: SSNI over a Gaussian denoiser."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from ssni_jax.attacks import Linf, Objective, Pgd
from ssni_jax.core.arrays import over
from ssni_jax.core.pytree import pytree
from ssni_jax.data import Digits
from ssni_jax.experiments import Certification, Evaluation, ReferenceNorms
from ssni_jax.purify import Defense, Rounded, ScoreNorm, SsniSigmoid, Surrogate
from ssni_jax.recipes import diffpure_ddpm, edm_one_step
from ssni_jax.schedules import VP


@pytree
class Shrink:
    """A Gaussian denoiser."""

    std: float = 0.7

    def __call__(self, x, sigma):
        return over(self.std**2 / (self.std**2 + jnp.square(sigma)), x) * x


@pytree
class Linear:
    """Logits from fixed directions."""

    weight: np.ndarray

    def __call__(self, x):
        return x.reshape(x.shape[0], -1) @ self.weight


def templates():
    """The mean training image of each class, as weights: right on most digits."""
    source = Digits("train")
    means = np.stack([source.images[source.labels == k].mean(axis=0).ravel() for k in range(10)], axis=1)
    return (means / np.linalg.norm(means, axis=0)).astype(np.float32)


base = diffpure_ddpm(Shrink(), n_steps=5)
level = Rounded(SsniSigmoid(mean=14.0, tau=2.0))
deviation = ScoreNorm(Shrink(), VP(), 2)
purifier = dataclasses.replace(base, rounds=(dataclasses.replace(base.rounds[0], level=level),), deviation=deviation)
classify = Linear(templates())

evaluation = Evaluation(
    "toy", Defense(purifier, classify), Digits("test"), Pgd(Linf(0.1), 0.05, 2),
    Objective(n_draws=2, hold=True, differentiate=Surrogate(2)), batch_size=8, n_slots=4, n_draws=2, n_pictures=2,
)  # fmt: skip
certification = Certification(
    "toy", Defense(edm_one_step(Shrink()), classify), Digits("test"), (0.1, 0.4), n_selection=20, n_estimation=200,
    n_quality=2, n_images=24, batch_size=64, n_together=4,
)  # fmt: skip
calibration = ReferenceNorms("toy norms", deviation, Digits("test"), batch_size=8)
