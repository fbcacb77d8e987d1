"""What is minimised: pure values called with the model, one key per row and a batch of images in [0, 1]."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from ssni_jax.core.arrays import over, to_diffusion_range
from ssni_jax.core.bounds import bounded
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.core.types import Keys, Level, Tree
from ssni_jax.networks import Preconditioned, PreprocessedClassifier, Preprocessing
from ssni_jax.training.augment import Augment, augmented

AUGMENT, LEVEL, NOISE, DROPOUT = range(4)
LossValue = tuple[Float[Array, ""], dict[str, Array]]


@pytree
class DenoisingLoss:
    """Weighted denoising score matching, Karras et al. 2022, eqs. 2 and 8, as a mean over pixels.

    ln sigma ~ N(p_mean, p_std^2), clipped to [sigma_min, sigma_max]; the weight 1 / c_out(sigma)^2 gives every noise
    level the same error at the network's output, for any preconditioning.
    """

    coefficients: Tree
    p_mean: float = bounded(default=-1.2)
    p_std: float = bounded(0, default=1.2)
    sigma_min: float = bounded(0, above=True, default=0.002)
    sigma_max: float = bounded(0, above=True, default=80.0)
    augment: tuple[Augment, ...] = static(default=())
    n_classes: int = static(default=0)

    def __call__(self, model: Tree, keys: Keys, batch: dict[str, Array]) -> LossValue:
        x0 = to_diffusion_range(augmented(self.augment, fold(keys, AUGMENT), batch["image"]))
        sigma = self.levels(fold(keys, LEVEL))
        x = x0 + over(sigma, x0) * normal_like(fold(keys, NOISE), x0)
        conditions = {**classes(self.n_classes, batch), "dropout_keys": fold(keys, DROPOUT)}
        denoised = Preconditioned(model, self.coefficients)(x, sigma, **conditions)
        weight = 1 / jnp.square(self.coefficients(sigma).out)
        return jnp.mean(over(weight, x0) * jnp.square(denoised - x0)), {}

    def levels(self, keys: Keys) -> Level:
        """Noise level of each row, in the [-1, 1] range."""
        log_sigma = self.p_mean + self.p_std * jax.vmap(jax.random.normal)(keys)
        return jnp.clip(jnp.exp(log_sigma), self.sigma_min, self.sigma_max)


@pytree
class ClassificationLoss:
    """Cross-entropy of a network behind `preprocessing`; `noise` (in the [0, 1] range) trains one for smoothing."""

    needs_labels = True
    preprocessing: Preprocessing = Preprocessing()
    noise: float = bounded(0, default=0.0)
    label_smoothing: float = bounded(0, 1, below=True, default=0.0)
    augment: tuple[Augment, ...] = static(default=())

    def __call__(self, model: Tree, keys: Keys, batch: dict[str, Array]) -> LossValue:
        x, y = augmented(self.augment, fold(keys, AUGMENT), batch["image"]), batch["label"]
        x = x + self.noise * normal_like(fold(keys, NOISE), x)
        logits = PreprocessedClassifier(model, self.preprocessing)(x, train=True, dropout_keys=fold(keys, DROPOUT))
        target = optax.smooth_labels(jax.nn.one_hot(y, logits.shape[-1]), self.label_smoothing)
        accuracy = jnp.mean(jnp.argmax(logits, -1) == y)
        return jnp.mean(optax.softmax_cross_entropy(logits, target)), {"accuracy": accuracy}


def drawn_levels(sigmas: tuple[float, ...], keys: Keys) -> Level:
    """One of `sigmas` for each row."""
    drawn = jax.vmap(lambda key: jax.random.randint(key, (), 0, len(sigmas)))(keys)
    return jnp.stack([jnp.asarray(sigma, jnp.float32) for sigma in sigmas])[drawn]


def classes(n: int, batch: dict[str, Array]) -> dict[str, Array]:
    """What a network of `n` classes is told beside the noise level; nothing for n = 0."""
    return {"class_labels": jax.nn.one_hot(batch["label"], n)} if n else {}
