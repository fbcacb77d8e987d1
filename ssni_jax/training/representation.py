"""rRCM (Lei et al. 2025, arXiv:2501.13094): representations that are consistent along a trajectory, then a classifier.

As in the released code (jiachenlei/rRCM), which also gives the constants.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from ssni_jax.core.arrays import over, to_diffusion_range
from ssni_jax.core.bounds import bounded
from ssni_jax.core.protocols import Loss
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.core.types import Keys, Level, Logits, Tree
from ssni_jax.networks import ConsistencyCoefficients, NoiseConditionedClassifier
from ssni_jax.networks.classifier import scaled
from ssni_jax.networks.layers import Features
from ssni_jax.networks.precondition import CoefficientFunction
from ssni_jax.training.augment import Augment, augmented
from ssni_jax.training.consistency import Target
from ssni_jax.training.losses import AUGMENT, DROPOUT, LEVEL, NOISE, LossValue, drawn_levels
from ssni_jax.training.pairs import DoublingAhead, Neighbours, Scalar
from ssni_jax.training.pairs import Step as StepNumber

FIRST, SECOND = 4, 5  # draws of the two augmentations, beside those of every loss
CONDITIONING = ConsistencyCoefficients()


@pytree
class RisingAverage:
    """An exponential average whose decay rises from `start` to `end` over the run.

    decay = c end + (1 - c) start with c = 2 sigmoid(rate (m - start) / (end - start)) - 1 and m^2 linear in the step
    from start^2 to end^2; `rate` is 15 on CIFAR-10 and 10 on ImageNet.
    """

    start: float = bounded(0, 1, default=0.99)
    end: float = bounded(0, 1, default=0.9999)
    rate: float = bounded(0, default=15.0)

    def __post_init__(self):
        if not self.start < self.end:
            raise ValueError(f"the decay must rise, got start={self.start} and end={self.end}: choose a larger end.")

    def __call__(self, step: StepNumber, n_steps: int) -> Scalar:
        share = jnp.minimum(step / n_steps, 1.0)
        middle = jnp.sqrt(share * (self.end**2 - self.start**2) + self.start**2)
        c = 2 * jax.nn.sigmoid(self.rate * (middle - self.start) / (self.end - self.start)) - 1
        return c * self.end + (1 - c) * self.start


@pytree
class RepresentationConsistency:
    """Pre-training: InfoNCE of two views at the least noise, plus InfoNCE of neighbouring noises of one image.

    The first compares the projections of the model and of its average `target`, the second the class tokens of the
    model with itself, its gradient stopped; the other rows of the batch are the negatives, over all devices.
    `views` make both views, `augment` the image of the second term. Micro-batches have fewer negatives.
    """

    conditioning: CoefficientFunction = CONDITIONING
    pairs: Neighbours = Neighbours(DoublingAhead())
    target: Target = RisingAverage()
    temperature: float = bounded(0, above=True, default=0.2)
    views: tuple[Augment, ...] = static(default=())
    augment: tuple[Augment, ...] = static(default=())

    def at(self, step: StepNumber, n_steps: int, target: Tree) -> Loss:
        """The loss at `step` of `n_steps`, whose views are compared with those of `target`."""
        return partial(self._loss, step, n_steps, target)

    def target_decay(self, step: StepNumber, n_steps: int) -> float | Scalar | None:
        """How much of itself the target keeps in this step."""
        return self.target(step, n_steps)

    def _loss(
        self, step: StepNumber, n_steps: int, target: Tree, model: Any, keys: Keys, batch: dict[str, Array]
    ) -> LossValue:
        views = self._of_views(target, model, keys, batch["image"])
        noises = self._of_noises(model, keys, batch["image"], *self.pairs(fold(keys, LEVEL), step, n_steps)[:2])
        return views + noises, {"views": views, "noises": noises}

    def _of_views(self, target: Any, model: Any, keys: Keys, images: Array) -> Float[Array, ""]:
        sigma = jnp.full(len(images), self.pairs.sigma_min)

        def projected(network: Any, draw: int) -> Features:
            x = to_diffusion_range(augmented(self.views, fold(keys, draw), images))
            x = x + over(sigma, x) * normal_like(fold(keys, NOISE), x)
            seen = scaled(self.conditioning, x, sigma)
            return network.projected(*seen, train=True, dropout_keys=fold(keys, DROPOUT))

        return info_nce(projected(model, FIRST), jax.lax.stop_gradient(projected(target, SECOND)), self.temperature)

    def _of_noises(self, model: Any, keys: Keys, images: Array, hi: Level, lo: Level) -> Float[Array, ""]:
        x0 = to_diffusion_range(augmented(self.augment, fold(keys, AUGMENT), images))
        noise = normal_like(fold(keys, NOISE), x0)

        def representation(sigma: Level) -> Features:
            seen = scaled(self.conditioning, x0 + over(sigma, x0) * noise, sigma)
            return model.representation(*seen, dropout_keys=fold(keys, DROPOUT))

        return info_nce(representation(hi), jax.lax.stop_gradient(representation(lo)), self.temperature)


@pytree
class ConsistentClassification:
    """Fine-tuning: cross-entropy at the smoothing noise, and agreement of the predictions of m noises of an image.

    cross-entropy + weight mean KL(mean p || p_i) + entropy_weight H(mean p) (Jeong & Shin 2020, arXiv:2006.04062);
    `weight` is 10 at sigma 0.25 and 20 at 0.5 and 1. `sigmas` are those of images in [0, 1], one drawn a row; as
    published one network is tuned for one of them. The network is told exactly the noise there is; with
    `Snapped(..., n=81)` around the conditioning the nearest of 81 levels, as released.
    """

    needs_labels = True
    conditioning: CoefficientFunction = CONDITIONING
    sigmas: tuple[float, ...] = (0.25, 0.5, 1.0)
    weight: float = bounded(0, default=10.0)
    entropy_weight: float = bounded(0, default=0.5)
    m: int = static(default=2)
    label_smoothing: float = bounded(0, 1, below=True, default=0.0)
    augment: tuple[Augment, ...] = static(default=())

    def __post_init__(self):
        if self.m < 2:
            raise ValueError(f"m={self.m} noises of an image cannot agree: choose at least 2.")

    def __call__(self, model: Tree, keys: Keys, batch: dict[str, Array]) -> LossValue:
        x = augmented(self.augment, fold(keys, AUGMENT), batch["image"])
        sigma = drawn_levels(self.sigmas, fold(keys, LEVEL))
        classify = NoiseConditionedClassifier(model, self.conditioning)

        def logits_of(draw: Array) -> Logits:
            draw_keys = fold(fold(keys, NOISE), draw)
            noisy = x + over(sigma, x) * normal_like(draw_keys, x)
            return classify(noisy, sigma, dropout_keys=fold(draw_keys, DROPOUT))

        logits = jax.vmap(logits_of)(jnp.arange(self.m))
        labels = optax.smooth_labels(jax.nn.one_hot(batch["label"], logits.shape[-1]), self.label_smoothing)
        cross_entropy = jnp.mean(optax.softmax_cross_entropy(logits, labels))
        divergence, entropy = disagreement(logits)
        accuracy = jnp.mean(jnp.argmax(logits, -1) == batch["label"])
        loss = cross_entropy + self.weight * divergence + self.entropy_weight * entropy
        return loss, {"accuracy": accuracy, "cross_entropy": cross_entropy, "divergence": divergence}


def info_nce(ours: Features, theirs: Features, temperature: float | Scalar) -> Float[Array, ""]:
    """Mean of -log softmax(cosine / temperature) at the own row of `theirs` (van den Oord et al. 2018)."""
    ours, theirs = (v / jnp.maximum(jnp.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in (ours, theirs))
    similarity = jnp.matmul(ours, theirs.T, precision=jax.lax.Precision.HIGHEST) / temperature
    return -jnp.mean(jnp.diagonal(jax.nn.log_softmax(similarity)))


def disagreement(logits: Float[Array, "M B K"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean KL(mean p || p_i) of M predictions of each row, and the entropy of their mean."""
    log_p = jax.nn.log_softmax(logits)
    mean = jnp.mean(jnp.exp(log_p), axis=0)
    log_mean = jnp.log(jnp.maximum(mean, 1e-20))
    return jnp.mean(jnp.sum(mean * (log_mean - log_p), -1)), -jnp.mean(jnp.sum(mean * log_mean, -1))
