"""The optimiser as a value, so that it reads from a config and prints into a record."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from ssni_jax.core.types import Tree


@dataclasses.dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015; decoupled weight decay, Loshchilov & Hutter 2019) with warm-up, cosine decay, clipping.

    `warmup` counts steps, `decay_to` is the last learning rate as a share of the first, `weight_decay` spares vectors
    (biases, norms), and `clip` bounds the global gradient norm, 0 for no bound.
    """

    learning_rate: float = 1e-3
    warmup: int = 0
    decay_to: float = 1.0
    weight_decay: float = 0.0
    clip: float = 1.0

    def __post_init__(self):
        if self.learning_rate <= 0 or self.warmup < 0 or self.weight_decay < 0 or self.clip < 0:
            raise ValueError(f"{self} needs learning_rate > 0 and warmup, weight_decay and clip >= 0.")
        if not 0 <= self.decay_to <= 1:
            raise ValueError(f"decay_to={self.decay_to} is a share of the learning rate; choose it between 0 and 1.")

    def rate(self, n_steps: int) -> optax.Schedule:
        """Learning rate at each step of a run of `n_steps`."""
        cosine = optax.cosine_decay_schedule(self.learning_rate, max(1, n_steps - self.warmup), self.decay_to)
        rise = optax.linear_schedule(self.learning_rate / (self.warmup + 1), self.learning_rate, self.warmup)
        return optax.join_schedules([rise, cosine], [self.warmup]) if self.warmup else cosine

    def transform(self, n_steps: int) -> optax.GradientTransformation:
        """The optax transformation for a run of `n_steps`."""
        decay = optax.add_decayed_weights(self.weight_decay, mask=_matrices)
        return optax.chain(
            optax.clip_by_global_norm(self.clip) if self.clip else optax.identity(),
            optax.scale_by_adam(),
            decay if self.weight_decay else optax.identity(),
            optax.scale_by_learning_rate(self.rate(n_steps)),
        )


def _matrices(params: Tree) -> Tree:
    return jax.tree.map(lambda leaf: jnp.ndim(leaf) > 1, params)
