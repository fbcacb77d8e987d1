"""How an attack differentiates a predictor: exactly, or through one of the usual stand-ins, each with its name."""

import dataclasses
from typing import Any

import jax

from ssni_jax.core.protocols import Differentiation, Purified
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.save_at import NOTHING, SaveAt
from ssni_jax.core.types import Images, Keys
from ssni_jax.purify.predictors import Predictor
from ssni_jax.purify.round import Round
from ssni_jax.purify.vote import Vote
from ssni_jax.purify.walks import Walk


@pytree
class Exact:
    """The predictor itself; with a `walk`, its rounds are solved by that one, such as `Nested()` or `Buckets()`."""

    walk: Walk | None = None

    @property
    def name(self) -> str:
        return "exact" if self.walk is None else f"exact ({type(self.walk).__name__.lower()})"

    def __call__(self, predict: Predictor) -> Any:
        return predict if self.walk is None else predict.with_walk(self.walk)


@pytree
class Surrogate:
    """The predictor in at most `n_steps` solver steps per round (Lee & Kim 2023), differentiated by `then`.

    Its gradient is exact for the shorter chain and an approximation for the predictor.
    """

    n_steps: int = static(default=5)
    then: Differentiation = Exact()

    def __post_init__(self):
        if self.n_steps < 1:
            raise ValueError(f"A surrogate needs at least one solver step per round, got n_steps={self.n_steps}.")

    @property
    def name(self) -> str:
        rest = "" if self.then.name == "exact" else f", {self.then.name}"
        return f"surrogate of {self.n_steps} steps per round{rest}"

    def __call__(self, predict: Predictor) -> Any:
        return self.then(predict.with_steps(self.n_steps))


@pytree
class ShorterRounds:
    """The predictor with these rounds in place of its own: a surrogate schedule (Lee & Kim 2023, section 4.2).

    Its gradient is exact for the shorter chain and an approximation for the predictor.
    """

    rounds: tuple[Round, ...]

    @property
    def name(self) -> str:
        return f"surrogate with a schedule of {len(self.rounds)} rounds"

    def __call__(self, predict: Predictor) -> Any:
        return predict.map_purify(lambda purify: dataclasses.replace(purify, rounds=self.rounds))


@pytree
class Voting:
    """The vote of `n` draws of the predictor, differentiated by `then`: an attack on what a vote would answer.

    A loss sees the logarithm of the mean probability of the draws, where `Objective(n_draws=n)` averages their losses.
    """

    n: int = static(default=10)
    then: Differentiation = Exact()

    @property
    def name(self) -> str:
        return f"vote of {self.n} draws" + ("" if self.then.name == "exact" else f", {self.then.name}")

    def __call__(self, predict: Predictor) -> Any:
        return self.then(Vote(predict, self.n))


@pytree
class SoftTime:
    """t(x) without its rounding: exact gradients of a slightly different defence, through t(x) and the score norm."""

    name = "soft t"

    def __call__(self, predict: Predictor) -> Any:
        return predict.soft()


@pytree
class StraightThroughTime:
    """t(x) as published, and gradients as if it had not been rounded (Bengio et al. 2013)."""

    name = "straight-through t"

    def __call__(self, predict: Predictor) -> Any:
        return predict.straight_through()


@pytree
class FrozenTime:
    """No gradient through t(x), whether it is rounded or not; the score norm is not differentiated at all."""

    name = "frozen t"

    def __call__(self, predict: Predictor) -> Any:
        return predict.frozen()


@pytree
class BpdaIdentity:
    """The gradient at the purified image, as if purifying changed nothing (BPDA, Athalye et al. 2018)."""

    name = "BPDA (identity)"

    def __call__(self, predict: Predictor) -> Any:
        return predict.map_purify(Bpda)


@pytree
class BpdaOneStep:
    """The whole purification forwards; backwards, that of the same rounds in one solver step each."""

    name = "BPDA (one step)"

    def __call__(self, predict: Predictor) -> Any:
        return predict.map_purify(lambda purify: Bpda(purify, purify.with_steps(1)))


@pytree
class Identity:
    """The purifier that changes nothing."""

    def __call__(self, keys: Keys, x: Images) -> Images:
        return x

    def hold(self, keys: Keys, x: Images) -> "Identity":
        """Itself: it has no noise levels."""
        return self


@pytree
class Bpda:
    """The images of `purify` with the gradient of `backward`, a purifier that is cheaper to differentiate."""

    purify: Any
    backward: Any = Identity()

    def __call__(self, keys: Keys, x: Images) -> Images:
        return self.run(keys, x).image

    def run(self, keys: Keys, x: Images, save: SaveAt | None = NOTHING) -> Purified:
        """The purification of `purify` without its gradient, and an image with that of `backward`."""
        differentiated = self.backward(keys, x)
        purified = jax.lax.stop_gradient(self.purify.run(keys, x, save))
        return purified._replace(image=purified.image + (differentiated - jax.lax.stop_gradient(differentiated)))

    def hold(self, keys: Keys, x: Images) -> "Bpda":
        """Both with the noise levels they would give `x` now."""
        return dataclasses.replace(self, purify=self.purify.hold(keys, x), backward=self.backward.hold(keys, x))
