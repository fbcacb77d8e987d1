"""Gradients of an attack loss through a randomized predictor, averaged over its draws (EOT, Athalye et al. 2018)."""

from typing import Protocol, cast, runtime_checkable

import jax
import jax.numpy as jnp

from ssni_jax.core.protocols import Adaptive
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold
from ssni_jax.core.types import Images, Keys, Labels, Level, Logits, PredictFn


@runtime_checkable
class RowLoss(Protocol):
    """A loss with one number a row."""

    def __call__(self, logits: Logits, y: Labels) -> Level: ...


@runtime_checkable
class Gradient(Protocol):
    """The ascent direction at x, before the threat model shapes it."""

    def __call__(self, keys: Keys, predict: PredictFn, loss: RowLoss, x: Images, y: Labels) -> Images: ...


@pytree
class Eot:
    """Exact gradient of the mean loss over `n_draws`, through everything the predictor does with x.

    Where the predictor's noise level is soft, the gradient flows through t(x) and the score norm as well.
    """

    n_draws: int = static(default=1)

    def __post_init__(self):
        if self.n_draws < 1:
            raise ValueError(f"EOT averages at least one draw, not n_draws={self.n_draws}.")

    def __call__(self, keys: Keys, predict: PredictFn, loss: RowLoss, x: Images, y: Labels) -> Images:
        def one_draw(i):
            return jax.grad(lambda x: jnp.sum(loss(predict(fold(keys, i), x), y)))(x)

        return jnp.mean(jax.vmap(one_draw)(jnp.arange(self.n_draws)), axis=0)


@pytree
class HeldEot:
    """EOT with the noise levels measured once at x and held fixed over the draws, SSNI's published adaptive attack.

    The attacker sees t(x) but gets no gradient through it (arXiv:2506.06027, code); the predictor must be `Adaptive`.
    """

    n_draws: int = static(default=1)

    def __post_init__(self):
        Eot(self.n_draws)  # refuses too few draws

    def __call__(self, keys: Keys, predict: PredictFn, loss: RowLoss, x: Images, y: Labels) -> Images:
        held = cast(Adaptive, predict).hold(fold(keys, 0), x)
        return Eot(self.n_draws)(fold(keys, 1), held, loss, x, y)
