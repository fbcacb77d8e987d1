"""Bridges from diffused adversarial images to clean ones: ADBM (Li et al., ICLR 2025)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from ssni_jax.core.arrays import over, to_diffusion_range, to_unit_range
from ssni_jax.core.bounds import as_pixels, as_share, bounded
from ssni_jax.core.protocols import Classifier, Denoiser, NoiseSchedule
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold, normal_like, uniform_like
from ssni_jax.core.types import Images, Keys, Labels, Level, Tree
from ssni_jax.networks import Preconditioned
from ssni_jax.networks.precondition import CoefficientFunction
from ssni_jax.schedules import VP
from ssni_jax.training.augment import Augment, augmented
from ssni_jax.training.losses import AUGMENT, DROPOUT, LEVEL, NOISE, LossValue

HORIZON, START = 4, 5  # further draws
FIRST_TIME = 1e-5


class Bridge(NamedTuple):
    """A noise level, that of the horizon, and the noise itself, of each row."""

    sigma: Level
    end: Level
    noise: Images

    def between(self, x: Images, adversarial: Images) -> Images:
        """x + sigma n + (sigma / end)^2 (adversarial - x): x without noise, and the noised adversary at the horizon.

        ADBM's x_t (code) over sqrt(abar), because sigma^2 = 1 / abar - 1. Its target for the noise is the one whose
        denoised image is x.
        """
        share = jnp.square(self.sigma / self.end)
        return x + over(self.sigma, x) * self.noise + over(share, x) * (adversarial - x)


@pytree
class BridgeLoss:
    """Denoising of states on a bridge to an adversary found inside the loss, weighted as in `DenoisingLoss`.

    The horizon is uniform between `t_low` and `t_high` and the time below it, both per row (the code draws one horizon
    per batch). The adversary starts at random and takes `n_steps` sign steps of size `eps` against the classifier on
    the estimate, at the same time and noise; `eps` is the radius in the [0, 1] range. Defaults are the released ones.
    """

    needs_labels = True
    coefficients: CoefficientFunction
    classify: Classifier
    schedule: NoiseSchedule = VP()
    t_low: float = bounded(0, 1, above=True, hint=as_share, default=0.1)
    t_high: float = bounded(0, 1, above=True, hint=as_share, default=0.2)
    eps: float = bounded(0, 1, hint=as_pixels, default=8 / 255)
    n_steps: int = static(default=3)
    augment: tuple[Augment, ...] = static(default=())

    def __call__(self, model: Tree, keys: Keys, batch: dict[str, Array]) -> LossValue:
        x = to_diffusion_range(augmented(self.augment, fold(keys, AUGMENT), batch["image"]))
        bridge, denoise = self.drawn(keys, x), Preconditioned(model, self.coefficients)
        adversarial = self.adversary(fold(keys, START), denoise, bridge, x, batch["label"])
        state = bridge.between(x, jax.lax.stop_gradient(adversarial))
        denoised = denoise(state, bridge.sigma, dropout_keys=fold(keys, DROPOUT))
        weight = 1 / jnp.square(self.coefficients(bridge.sigma).out)
        return jnp.mean(over(weight, x) * jnp.square(denoised - x)), {}

    def drawn(self, keys: Keys, x: Images) -> Bridge:
        """The bridge of each row."""
        horizon, time = (jax.vmap(jax.random.uniform)(fold(keys, draw)) for draw in (HORIZON, LEVEL))
        end = self.t_low + (self.t_high - self.t_low) * horizon
        t = FIRST_TIME + (end - FIRST_TIME) * time
        return Bridge(self.schedule.sigma(t), self.schedule.sigma(end), normal_like(fold(keys, NOISE), x))

    def adversary(self, keys: Keys, denoise: Denoiser, bridge: Bridge, x: Images, y: Labels) -> Images:
        """Images near x whose bridge leads the estimate away from its class."""
        radius = 2 * self.eps

        def loss(adversarial: Images) -> Array:
            logits = self.classify(to_unit_range(denoise(bridge.between(x, adversarial), bridge.sigma)))
            return jnp.sum(optax.softmax_cross_entropy_with_integer_labels(logits, y))

        def ascend(adversarial: Images, _: None) -> tuple[Images, None]:
            moved = adversarial + radius * jnp.sign(jax.grad(loss)(adversarial))
            return jnp.clip(jnp.clip(moved, x - radius, x + radius), -1.0, 1.0), None

        return jax.lax.scan(ascend, x + radius * uniform_like(keys, x), length=self.n_steps)[0]
