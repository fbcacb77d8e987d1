"""Projected gradient ascent (Madry et al. 2018) as one scan; the gradient, the loss and the threat model are values."""

import jax
import jax.numpy as jnp

from ssni_jax.attacks.gradients import Eot, Gradient, RowLoss
from ssni_jax.attacks.losses import CrossEntropy
from ssni_jax.attacks.threats import Linf, Threat
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold
from ssni_jax.core.types import Images, Keys, Labels, PredictFn


@pytree
class Pgd:
    """`n_steps` of size `step_size`; the last iterate is the result, as is usual for randomized defences."""

    threat: Threat = Linf()
    step_size: float = 0.007
    n_steps: int = static(default=20)
    gradient: Gradient = Eot()
    loss: RowLoss = CrossEntropy()
    random_start: bool = static(default=False)

    def __post_init__(self):
        if self.n_steps < 1:
            raise ValueError(f"PGD takes at least one step, not n_steps={self.n_steps}.")

    def __call__(self, keys: Keys, predict: PredictFn, x: Images, y: Labels) -> Images:
        def iterate(adversarial, i):
            gradient = self.gradient(fold(keys, i), predict, self.loss, adversarial, y)
            moved = adversarial + self.step_size * self.threat.direction(gradient)
            return self.threat.project(moved, x), None

        start = self.threat.start(fold(keys, 0), x) if self.random_start else x
        return jax.lax.scan(iterate, start, jnp.arange(1, self.n_steps + 1))[0]
