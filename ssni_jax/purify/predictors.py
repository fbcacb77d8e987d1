"""Predictors: a purifier before a classifier, a classifier alone, and what a predictor has unless it says otherwise."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp

from ssni_jax.core.bounds import bounded
from ssni_jax.core.protocols import Classifier, Measured, Trace
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.core.save_at import NOTHING, SaveAt
from ssni_jax.core.types import Images, Keys, Level, Levels, Logits
from ssni_jax.purify.walks import Walk

Change = Callable[[Any], Any]
PREDICTION = 1 << 20  # beyond the draws that a purifier folds


class Predictor:
    """A predictor without noise levels, as a base: a subclass gives `trace`, and every transformation is the identity.

    A predictor around a purifier gives `map_purify` too, from which the transformations follow.
    """

    def __call__(self, keys: Keys, x: Images) -> Logits:
        return self.trace(keys, x).logits

    def trace(self, keys: Keys, x: Images, save: SaveAt | None = NOTHING) -> Trace:
        """One prediction, opened up."""
        raise NotImplementedError

    n_votes = 1
    n_classified = 1  # classifier calls per draw

    @property
    def purifiers(self) -> tuple[Any, ...]:
        """The purifiers inside."""
        return ()

    def map_purify(self, change: Change) -> Any:
        """This predictor with its purifier changed."""
        return self

    def hold(self, keys: Keys, x: Images) -> Any:
        """This predictor with the noise levels it would give `x` now."""
        return self

    def undefended(self) -> Any:
        """The same classifier without purification."""
        return self

    def levels(self, deviation: Level) -> Levels:
        """t of every round for a deviation, as the report draws it."""
        return jnp.zeros((0, len(deviation)))

    def at_noise(self, sigma: float) -> Any:
        """This predictor for images that smoothing noised with `sigma`, of the [0, 1] range."""
        return self.map_purify(lambda purify: purify.at_noise(sigma))

    def with_steps(self, n_steps: int) -> Any:
        """This predictor in at most `n_steps` solver steps per round."""
        return self.map_purify(lambda purify: purify.with_steps(n_steps))

    def soft(self) -> Any:
        """This predictor without rounding of t."""
        return self.map_purify(lambda purify: purify.soft())

    def straight_through(self) -> Any:
        """This predictor with gradients as if t had not been rounded."""
        return self.map_purify(lambda purify: purify.straight_through())

    def frozen(self) -> Any:
        """This predictor without a gradient through t(x)."""
        return self.map_purify(lambda purify: purify.frozen())

    def fixed(self) -> Any:
        """This predictor with every round at its t_star, and nothing measured."""
        return self.map_purify(lambda purify: purify.fixed())

    def in_batch(self, deviation: Level) -> Any:
        """This predictor with the levels that it uses on a batch with these deviations."""
        return self.map_purify(lambda purify: purify.in_batch(deviation))

    def with_walk(self, walk: Walk) -> Any:
        """This predictor whose rounds `walk` solves."""
        return self.map_purify(lambda purify: purify.with_walk(walk))

    def ragged(self, n_slots: int = 16) -> Any:
        """This predictor at full speed, without gradients."""
        return self.map_purify(lambda purify: purify.ragged(n_slots))

    def scanned(self) -> Any:
        """This predictor, differentiable."""
        return self.map_purify(lambda purify: purify.scanned())


@pytree
class Undefended(Predictor):
    """A classifier of images in [0, 1] as a predictor: nothing is purified."""

    classify: Classifier

    def trace(self, keys: Keys, x: Images, save: SaveAt | None = NOTHING) -> Trace:
        logits, zero = self.classify(x), jnp.zeros(len(x))
        return Trace(logits, logits, x, x, zero, jnp.zeros((len(x), 0)), zero)


class Purifying(Predictor):
    """A predictor that purifies first, as a base: a subclass says in `predicted` what it makes of the result."""

    purify: Any

    def predicted(self, keys: Keys, image: Images) -> Trace:
        """The prediction for a purified image."""
        raise NotImplementedError

    def trace(self, keys: Keys, x: Images, save: SaveAt | None = NOTHING) -> Trace:
        return self._traced(keys, self.purify.run(keys, x, save))

    def measure(self, keys: Keys, x: Images) -> Measured:
        """Deviation and times of each image, with the draws of `trace`."""
        deviation = self.purify.measure(keys, x)
        return Measured(deviation, self.purify.times(deviation).T)

    def trace_at(self, keys: Keys, x: Images, measured: Measured, save: SaveAt | None = NOTHING) -> Trace:
        """`trace` with what `measure` gave for the same keys and images."""
        return self._traced(keys, self.purify.run_at(keys, x, measured.deviation, measured.t.T, save))

    @property
    def purifiers(self) -> tuple[Any, ...]:
        return (self.purify,)

    def map_purify(self, change: Change) -> Any:
        return dataclasses.replace(self, purify=change(self.purify))  # type: ignore[type-var]

    def hold(self, keys: Keys, x: Images) -> Any:
        return dataclasses.replace(self, purify=self.purify.hold(keys, x))  # type: ignore[type-var]

    def levels(self, deviation: Level) -> Levels:
        return self.purify.times(deviation)

    def _traced(self, keys: Keys, purified: Any) -> Trace:
        predicted = self.predicted(fold(keys, PREDICTION), purified.image)
        return Trace(
            predicted.logits,
            predicted.scores,
            purified.image,
            purified.noised,
            purified.deviation,
            purified.t.T,
            purified.n_calls,
            saved=purified.saved,
        )


@pytree
class Defense(Purifying):
    """Purify, then classify."""

    purify: Any
    classify: Classifier

    def predicted(self, keys: Keys, image: Images) -> Trace:
        return self.undefended().trace(keys, image)

    def undefended(self) -> Undefended:
        return Undefended(self.classify)


@pytree
class Then(Purifying):
    """Purify once, then ask a predictor of its own randomness, such as a vote over noisy copies of the result.

    The votes inside are part of one prediction: they are no draws of the purification, and no `labels` tell them.
    """

    purify: Any
    predict: Any

    @property
    def n_classified(self) -> int:
        return self.predict.n_votes

    def predicted(self, keys: Keys, image: Images) -> Trace:
        return self.predict.trace(keys, image)

    def undefended(self) -> Any:
        return self.predict


@pytree
class Noisy(Predictor):
    """A classifier of images in [0, 1] to which noise of standard deviation `sigma` is added."""

    classify: Classifier
    sigma: float = bounded(0, default=0.25)

    def trace(self, keys: Keys, x: Images, save: SaveAt | None = NOTHING) -> Trace:
        return Undefended(self.classify).trace(keys, x + self.sigma * normal_like(keys, x))


@pytree
class Plainly:
    """A plain function of images as a pytree without leaves; arrays it closes over become constants of the program."""

    function: Callable[[Images], Logits] = static()

    def __call__(self, x: Images) -> Logits:
        return self.function(x)


def predictor(classify: Classifier | Callable[..., Logits]) -> Undefended:
    """Any classifier of images in [0, 1] as a predictor: a pytree, a stored network, or a plain function.

    Arrays in a pytree stay arguments of compiled programs.
    """
    is_leaf = any(leaf is classify for leaf in jax.tree.leaves(classify))
    is_plain = is_leaf and not dataclasses.is_dataclass(classify)  # a stored network is a dataclass that waits for it
    return Undefended(Plainly(cast(Callable[[Images], Logits], classify)) if is_plain else cast(Classifier, classify))
