"""Threat models: the ball an attack may use, the way it climbs inside it, and the way back into it."""

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.attacks.piecewise import cutoff, excess, filled
from ssni_jax.core.arrays import over, row_norm
from ssni_jax.core.bounds import as_pixels, bounded
from ssni_jax.core.protocols import checks_classes
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import fold, normal_like, uniform_like
from ssni_jax.core.types import Images, Keys, Level

AXES = (1, 2, 3)


@runtime_checkable
class Direction(Protocol):
    """A gradient turned into a step of unit size."""

    def __call__(self, gradient: Images) -> Images: ...


@checks_classes("eps", "direction", "project", "start", "spread", "norm", "dual_norm", "nearest_on_plane")
@runtime_checkable
class Threat(Protocol):
    """A ball of radius `eps` around a reference, intersected with images in [0, 1].

    `start` is a random point inside, `spread` one whose change reaches the boundary, as APGD begins. `norm` is what
    the ball bounds, `dual_norm` the slope of a linear function per unit of it. `nearest_on_plane` is the smallest
    change of x, in this norm, that reaches the hyperplane <normal, x> = offset without leaving [0, 1]; where no change
    does, the one that comes nearest.
    """

    @property
    def eps(self) -> Any: ...

    @property
    def direction(self) -> Direction: ...

    def project(self, x: Images, reference: Images) -> Images: ...

    def start(self, keys: Keys, x: Images) -> Images: ...

    def spread(self, keys: Keys, x: Images) -> Images: ...

    def norm(self, change: Images) -> Level: ...

    def dual_norm(self, gradient: Images) -> Level: ...

    def nearest_on_plane(self, x: Images, normal: Images, offset: Level) -> Images: ...


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

    eps: float = bounded(0, 1, default=8 / 255, hint=as_pixels)
    direction: Direction = Sign()

    def project(self, x: Images, reference: Images) -> Images:
        return jnp.clip(jnp.clip(x, reference - self.eps, reference + self.eps), 0.0, 1.0)

    def start(self, keys: Keys, x: Images) -> Images:
        """Uniform in the cube."""
        return self.project(x + self.eps * uniform_like(keys, x), x)

    def spread(self, keys: Keys, x: Images) -> Images:
        """Uniform, scaled until the largest change is eps (Croce & Hein 2020, code)."""
        change = uniform_like(keys, x)
        return self.project(x + self.eps * _divided(change, self.norm(change)), x)

    def norm(self, change: Images) -> Level:
        """Largest absolute value of each row."""
        return jnp.max(jnp.abs(change), axis=AXES)

    def dual_norm(self, gradient: Images) -> Level:
        return jnp.sum(jnp.abs(gradient), axis=AXES)

    def nearest_on_plane(self, x: Images, normal: Images, offset: Level) -> Images:
        """Every pixel moves by one amount, or by what [0, 1] leaves of it."""
        side, distance, weight, room = _towards(x, normal, offset)
        return side * jnp.minimum(over(filled(_flat(weight), _flat(weight * room), distance), x), room)


@pytree
class L2:
    """The Euclidean norm of the change is at most eps, pixels in units of the [0, 1] range."""

    eps: float = bounded(0, default=0.5)
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

    def spread(self, keys: Keys, x: Images) -> Images:
        """A direction uniform on the sphere, of length eps (Croce & Hein 2020, code)."""
        return self.project(x + self.eps * Unit()(normal_like(keys, x)), x)

    def norm(self, change: Images) -> Level:
        """Euclidean norm of each row."""
        return row_norm(change)

    def dual_norm(self, gradient: Images) -> Level:
        return row_norm(gradient)

    def nearest_on_plane(self, x: Images, normal: Images, offset: Level) -> Images:
        """Pixels move in proportion to the normal, or by what [0, 1] leaves of it."""
        side, distance, weight, room = _towards(x, normal, offset)
        step = filled(_flat(weight**2), _flat(weight * room), distance)
        return side * jnp.minimum(over(step, x) * weight, room)


@pytree
class L1:
    """The absolute values of the change sum to at most eps, pixels in units of the [0, 1] range."""

    eps: float = bounded(0, default=12.0)
    direction: Direction = Unit()

    def project(self, x: Images, reference: Images) -> Images:
        """The nearest point of the intersection of ball and [0, 1] (Croce & Hein 2021, section 3): one threshold."""
        change = x - reference
        size, room = jnp.abs(change), jnp.where(change > 0, 1 - reference, reference)
        threshold = over(excess(_flat(size), _flat(room), jnp.broadcast_to(self.eps, len(x))), x)
        return reference + jnp.sign(change) * jnp.clip(size - threshold, 0.0, room)

    def start(self, keys: Keys, x: Images) -> Images:
        """A Gaussian change scaled to a size uniform in [0, eps]."""
        return self._scaled(keys, x, self.eps * jax.vmap(jax.random.uniform)(fold(keys, 1)))

    def spread(self, keys: Keys, x: Images) -> Images:
        """The projection of a Gaussian change (Croce & Hein 2021, code)."""
        return self.project(x + normal_like(keys, x), x)

    def norm(self, change: Images) -> Level:
        """Sum of the absolute values of each row."""
        return jnp.sum(jnp.abs(change), axis=AXES)

    def dual_norm(self, gradient: Images) -> Level:
        return jnp.max(jnp.abs(gradient), axis=AXES)

    def nearest_on_plane(self, x: Images, normal: Images, offset: Level) -> Images:
        """The pixels of the largest weights move as far as [0, 1] lets them, those of the last weight by a share."""
        side, distance, weight, room = _towards(x, normal, offset)
        weight, gain = _flat(weight), _flat(weight * room)
        least = cutoff(weight, gain, distance)[:, None]  # of the weights that move
        before = jnp.sum(jnp.where(weight > least, gain, 0.0), axis=1)
        last = jnp.sum(jnp.where(weight == least, gain, 0.0), axis=1)
        share = jnp.clip((distance - before) / jnp.where(last == 0, 1.0, last), 0.0, 1.0)[:, None]
        moved = jnp.where(weight > least, 1.0, jnp.where(weight == least, share, 0.0))
        return side * moved.reshape(x.shape) * room

    def _scaled(self, keys: Keys, x: Images, size: Level) -> Images:
        change = normal_like(keys, x)
        return self.project(x + over(size, x) * _divided(change, self.norm(change)), x)


def _towards(x: Images, normal: Images, offset: Level) -> tuple[Images, Level, Images, Images]:
    """Per pixel the sign of a move towards the plane, its weight and the room in [0, 1]; per row the distance."""
    distance = offset - jnp.sum(normal * x, axis=AXES)
    side = jnp.sign(normal) * over(jnp.where(distance < 0, -1.0, 1.0), x)
    room = jnp.where(side > 0, 1 - x, jnp.where(side < 0, x, 0.0))
    return side, jnp.abs(distance), jnp.abs(normal), room


def _flat(x: Images) -> Float[Array, "B n"]:
    return x.reshape(len(x), -1)


def _divided(x: Images, size: Level) -> Images:
    """x / size a row, and a row of size zero as it is."""
    return x / over(jnp.where(size == 0, 1.0, size), x)
