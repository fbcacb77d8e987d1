"""A majority of several predictions: Lee & Kim 2023, GDMP and DensePure decide by it."""

from typing import Any

import jax
import jax.numpy as jnp

from ssni_jax.core.protocols import Adaptive, Predict
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold
from ssni_jax.core.types import Images, Keys, Logits


@pytree
class Vote:
    """Votes of `n` draws of a predictor, plus the mean of its probabilities.

    The mean is less than one vote: it decides ties, and through it alone gradients flow. A NaN logit makes its row NaN.
    """

    predict: Predict
    n: int = static(default=10)

    def __post_init__(self):
        if self.n < 1:
            raise ValueError(f"A vote takes at least one prediction, not n={self.n}.")

    def __call__(self, keys: Keys, x: Images) -> Logits:
        return _count(lambda i: self.predict(fold(keys, i), x), self.n)

    def hold(self, keys: Keys, x: Images) -> "HeldVote":
        """This vote, each of its draws with the noise levels it would give `x` now."""
        return HeldVote(self, keys, x)


@pytree
class HeldVote:
    """A vote whose levels are those of `x`; they are measured again in every call rather than kept for every draw."""

    vote: Any
    keys: Keys
    x: Images

    def __call__(self, keys: Keys, x: Images) -> Logits:
        held: Adaptive = self.vote.predict
        return _count(lambda i: held.hold(fold(self.keys, i), self.x)(fold(keys, i), x), self.vote.n)


def _count(logits_of, n: int) -> Logits:
    """One draw at a time, so that memory is that of one."""

    @jax.checkpoint
    def ballot(i):
        logits = logits_of(i)
        return jnp.stack([jax.nn.one_hot(jnp.argmax(logits, axis=1), logits.shape[1]), jax.nn.softmax(logits) / n])

    shape = jax.eval_shape(ballot, 0)
    total, _ = jax.lax.scan(lambda total, i: (total + ballot(i), None), jnp.zeros(shape.shape), jnp.arange(n))
    return jnp.sum(total, axis=0)
