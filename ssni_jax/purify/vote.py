"""A majority of several predictions: Lee & Kim 2023, GDMP and DensePure decide by it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Key

from ssni_jax.core.protocols import Measurable, Measured, Trace
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold
from ssni_jax.core.save_at import NOTHING, SaveAt
from ssni_jax.core.types import Images, Keys, Level, Levels, Tree
from ssni_jax.purify.predictors import Change, Predictor


@pytree
class Vote(Predictor):
    """Votes of `n` draws of a predictor, plus the mean of its probabilities.

    The mean is less than one vote, so it only decides ties. What a loss differentiates is the logarithm of the mean
    probability. A NaN logit in a draw makes the logits of its row NaN. `together` puts the draws of all images into one
    batch, as `ragged` does; otherwise they are made one after the other, in the memory of one.
    """

    predict: Any
    n: int = static(default=10)
    together: bool = static(default=False)

    def __post_init__(self):
        if self.n < 1:
            raise ValueError(f"A vote needs at least one prediction, got n={self.n}.")

    def trace(self, keys: Keys, x: Images, save: SaveAt | None = NOTHING) -> Trace:
        return self._counted(
            keys, lambda rows: self.predict.trace(*rows, save), (draws(keys, self.n), repeated(x, self.n))
        )

    def measure(self, keys: Keys, x: Images) -> Measured:
        """Deviation [B, n] and times [B, n, R] of every draw; zeros and no times where a draw measures nothing."""
        if not isinstance(self.predict, Measurable):
            return Measured(jnp.zeros((len(x), self.n)), jnp.zeros((len(x), self.n, 0)))
        measured = jax.lax.map(lambda key: self.predict.measure(key, x), draws(keys, self.n))
        return jax.tree.map(lambda v: jnp.moveaxis(v, 0, 1), measured)

    def trace_at(self, keys: Keys, x: Images, measured: Measured, save: SaveAt | None = NOTHING) -> Trace:
        """`trace` with what `measure` gave for the same keys and images."""
        if not isinstance(self.predict, Measurable):
            return self.trace(keys, x, save)
        rows = (draws(keys, self.n), repeated(x, self.n), jax.tree.map(lambda v: jnp.moveaxis(v, 1, 0), measured))
        return self._counted(keys, lambda rows: self.predict.trace_at(*rows, save), rows)

    @property
    def n_votes(self) -> int:
        """Draws per prediction."""
        return self.n

    @property
    def n_classified(self) -> int:
        return self.predict.n_classified

    @property
    def purifiers(self) -> tuple[Any, ...]:
        return self.predict.purifiers

    def map_purify(self, change: Change) -> "Vote":
        return dataclasses.replace(self, predict=self.predict.map_purify(change))

    def ragged(self, n_slots: int = 16) -> "Vote":
        return dataclasses.replace(self, predict=self.predict.ragged(n_slots), together=True)

    def scanned(self) -> "Vote":
        return dataclasses.replace(self, predict=self.predict.scanned(), together=False)

    def hold(self, keys: Keys, x: Images) -> "HeldVote":
        """This vote, each of its draws with the noise levels it would give `x` now."""
        return HeldVote(self, keys, x)

    def undefended(self) -> Any:
        return self.predict.undefended()

    def levels(self, deviation: Level) -> Levels:
        return self.predict.levels(deviation)

    def _counted(self, keys: Keys, one: Any, rows: Tree) -> Trace:
        """The vote over `one(rows of a draw)`; `rows` have a leading axis of draws."""
        if self.together:
            flat = one(jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:]), rows))
            return counted(jax.tree.map(lambda v: v.reshape(self.n, len(keys), *v.shape[1:]), flat))
        return counted(jax.lax.map(jax.checkpoint(one), rows))


@pytree
class HeldVote(Predictor):
    """A vote whose levels are those of `x`; they are measured again in every call rather than kept for every draw."""

    vote: Any
    keys: Keys
    x: Images

    def trace(self, keys: Keys, x: Images, save: SaveAt | None = NOTHING) -> Trace:
        n = self.vote.n
        rows = (draws(self.keys, n), repeated(self.x, n), draws(keys, n), repeated(x, n))

        def one(rows: Tree) -> Trace:
            held_keys, held_x, keys, x = rows
            return self.vote.predict.hold(held_keys, held_x).trace(keys, x, save)

        return self.vote._counted(keys, one, rows)


def draws(keys: Keys, n: int) -> Key[jax.Array, "n B"]:
    """The keys of `n` draws of every row."""
    return jax.vmap(fold, (None, 0))(keys, jnp.arange(n))


def repeated(x: Images, n: int) -> Any:
    """The images once per draw, [n, B, H, W, C]."""
    return jnp.broadcast_to(x, (n, *x.shape))


def counted(traces: Trace) -> Trace:
    """One trace from those of each draw, [n, B, ...]: votes, labels, mean levels, summed calls, first images."""
    logits = traces.logits
    probability, winner = jax.nn.softmax(logits), jnp.argmax(logits, axis=-1)
    mean = jnp.mean(probability, axis=0)
    votes = jnp.sum(jax.nn.one_hot(winner, logits.shape[-1]), axis=0)
    finite = jnp.all(jnp.isfinite(logits), axis=-1)
    return Trace(
        logits=votes + mean,
        scores=jax.nn.logsumexp(jax.nn.log_softmax(logits), axis=0) - jnp.log(len(logits)),
        image=traces.image[0],
        noised=traces.noised[0],
        deviation=jnp.mean(traces.deviation, axis=0),
        t=jnp.mean(traces.t, axis=0),
        n_calls=jnp.sum(traces.n_calls, axis=0),
        labels=jnp.where(finite, winner, -1).T,
        saved=jax.tree.map(lambda v: jnp.moveaxis(v, 0, 1), traces.saved),
    )
