"""Threat models: the ball an attack may use, the way it climbs inside it, and the way back into it."""

from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp

from ssni_jax.core.arrays import over, row_norm
from ssni_jax.core.protocols import checks_classes
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import uniform_like
from ssni_jax.core.types import Images, Keys, Level


@runtime_checkable
class Direction(Protocol):
    """A gradient turned into a step of unit size."""

    def __call__(self, gradient: Images) -> Images: ...


@checks_classes("eps", "direction", "project", "start")
@runtime_checkable
class Threat(Protocol):
    """A ball of radius eps around x, intersected with images in [0, 1]."""

    @property
    def eps(self) -> Any: ...

    @property
    def direction(self) -> Direction: ...

    def project(self, x: Images, reference: Images) -> Images: ...

    def start(self, keys: Keys, x: Images) -> Images: ...


@pytree
class Sign:
    """Steepest ascent in the maximum norm. The released SSNI attack takes it inside the L2 ball too."""

    def __call__(self, gradient: Images) -> Images:
        return jnp.sign(gradient)


@pytree
class Unit:
    """Steepest ascent in the Euclidean norm: the unit gradient, zero where the gradient is zero."""

    def __call__(self, gradient: Images) -> Images:
        scaled = _divided(gradient, jnp.max(jnp.abs(gradient), axis=(1, 2, 3)))  # tiny gradients have squares of zero
        return _divided(scaled, row_norm(scaled))


@pytree
class Linf:
    """Every pixel may change by eps, in units of the [0, 1] range."""

    eps: float = 8 / 255
    direction: Direction = Sign()

    def project(self, x: Images, reference: Images) -> Images:
        return jnp.clip(jnp.clip(x, reference - self.eps, reference + self.eps), 0.0, 1.0)

    def start(self, keys: Keys, x: Images) -> Images:
        """Uniform in the cube."""
        return self.project(x + self.eps * uniform_like(keys, x), x)


@pytree
class L2:
    """The Euclidean norm of the change is at most eps, pixels in units of the [0, 1] range."""

    eps: float = 0.5
    direction: Direction = Unit()

    def project(self, x: Images, reference: Images) -> Images:
        """Onto the ball, then into [0, 1], which brings a point no farther from a reference inside."""
        change = x - reference
        norm = row_norm(change)
        shrink = jnp.where(norm > self.eps, self.eps / jnp.where(norm == 0, 1.0, norm), 1.0)
        return jnp.clip(reference + over(shrink, x) * change, 0.0, 1.0)

    def start(self, keys: Keys, x: Images) -> Images:
        """A random direction of length up to eps."""
        return self.project(x + self.eps * Unit()(uniform_like(keys, x)), x)


def _divided(x: Images, size: Level) -> Images:
    """x / size a row, and a row of size zero as it is."""
    return x / over(jnp.where(size == 0, 1.0, size), x)
