"""How an attack differentiates a defence: exactly, or through one of the usual stand-ins, each with its name."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax

from ssni_jax.core.protocols import NoiseLevel, checks_classes
from ssni_jax.core.pytree import pytree
from ssni_jax.core.types import Images, Keys
from ssni_jax.purify.levels import Frozen, Rounded, StraightThrough
from ssni_jax.purify.purifier import Defense, Purifier
from ssni_jax.purify.surrogate import surrogate
from ssni_jax.purify.walks import Walk


@checks_classes("name", "__call__")
@runtime_checkable
class Differentiation(Protocol):
    """The defence whose gradient stands for the given one's; results show the `name`."""

    @property
    def name(self) -> str: ...

    def __call__(self, defense: Defense) -> Defense: ...


@pytree
class Exact:
    """The defence itself; with a `walk`, its rounds are solved by that one, such as `Nested()` or `Buckets()`."""

    walk: Walk | None = None

    @property
    def name(self) -> str:
        return "exact" if self.walk is None else f"exact ({type(self.walk).__name__.lower()})"

    def __call__(self, defense: Defense) -> Defense:
        if self.walk is None:
            return defense
        return dataclasses.replace(defense, purify=dataclasses.replace(defense.purify, walk=self.walk))


@pytree
class SoftTime:
    """t(x) without its rounding: exact gradients of a slightly different defence, through t(x) and the score norm."""

    name = "soft t"

    def __call__(self, defense: Defense) -> Defense:
        return dataclasses.replace(defense, purify=soft(defense.purify))


@pytree
class StraightThroughTime:
    """t(x) as published, and gradients as if it had not been rounded (Bengio et al. 2013)."""

    name = "straight-through t"

    def __call__(self, defense: Defense) -> Defense:
        return dataclasses.replace(defense, purify=with_levels(defense.purify, _straight_through))


@pytree
class FrozenTime:
    """No gradient through t(x), whether it is rounded or not; the score norm is not differentiated at all."""

    name = "frozen t"

    def __call__(self, defense: Defense) -> Defense:
        return dataclasses.replace(defense, purify=with_levels(defense.purify, Frozen))


@pytree
class BpdaIdentity:
    """The gradient at the purified image, as if purifying changed nothing (BPDA, Athalye et al. 2018)."""

    name = "BPDA (identity)"

    def __call__(self, defense: Defense) -> Defense:
        return dataclasses.replace(defense, purify=Bpda(defense.purify))


@pytree
class BpdaOneStep:
    """The whole purification forwards; backwards, that of the same rounds in one solver step each."""

    name = "BPDA (one step)"

    def __call__(self, defense: Defense) -> Defense:
        one_step = surrogate(defense, 1).purify
        return dataclasses.replace(defense, purify=Bpda(defense.purify, one_step))


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
        differentiated = self.backward(keys, x)
        return jax.lax.stop_gradient(self.purify(keys, x)) + (differentiated - jax.lax.stop_gradient(differentiated))

    def hold(self, keys: Keys, x: Images) -> "Bpda":
        """Both with the noise levels they would give `x` now."""
        return Bpda(self.purify.hold(keys, x), self.backward.hold(keys, x))


def soft(purifier: Purifier) -> Purifier:
    """The purifier without rounding of t, so that gradients flow through t(x) and the score norm."""
    return with_levels(purifier, lambda level: level.level if isinstance(level, Rounded) else level)


def with_levels(purifier: Purifier, change: Callable[[NoiseLevel], NoiseLevel]) -> Purifier:
    """The purifier with the noise level of every round changed."""
    rounds = tuple(dataclasses.replace(each, level=change(each.level)) for each in purifier.rounds)
    return dataclasses.replace(purifier, rounds=rounds)


def _straight_through(level: NoiseLevel) -> NoiseLevel:
    return StraightThrough(level.level, level.n) if isinstance(level, Rounded) else level
