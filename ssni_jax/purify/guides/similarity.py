"""How alike two images are, one number a row: what a guide climbs."""

from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Images, Level


@runtime_checkable
class Similarity(Protocol):
    """Larger for images more alike, differentiable, a mean over each image's own pixels."""

    def __call__(self, x: Images, reference: Images) -> Level: ...


@pytree
class NegativeMse:
    """Minus the mean squared difference of the pixels of an image."""

    def __call__(self, x: Images, reference: Images) -> Level:
        return -jnp.mean(jnp.square(x - reference), axis=(1, 2, 3))


@pytree
class Ssim:
    """Structural similarity (Wang et al. 2004, eq. 13) under a Gaussian window, averaged over the image.

    `window` pixels wide, of standard deviation `std`; `span` is the range of values, 1 as in GDMP's code although
    images in [-1, 1] have 2. Near an edge the window is cut off and the image continues with zeros, as there.
    """

    window: int = static(default=11)
    std: float = 1.5
    span: float = 1.0

    def __post_init__(self):
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"A window around a pixel is odd, not window={self.window}.")

    def __call__(self, x: Images, reference: Images) -> Level:
        mean_x, mean_r = self._blurred(x), self._blurred(reference)
        var_x = self._blurred(jnp.square(x)) - jnp.square(mean_x)
        var_r = self._blurred(jnp.square(reference)) - jnp.square(mean_r)
        both = self._blurred(x * reference) - mean_x * mean_r
        c1, c2 = (0.01 * self.span) ** 2, (0.03 * self.span) ** 2
        above = (2 * mean_x * mean_r + c1) * (2 * both + c2)
        below = (jnp.square(mean_x) + jnp.square(mean_r) + c1) * (var_x + var_r + c2)
        return jnp.mean(above / below, axis=(1, 2, 3))

    def _blurred(self, x: Images) -> Images:
        """The window's weighted mean around every pixel."""
        rows, columns = (self._weights(n) for n in x.shape[1:3])
        return jnp.einsum("ij,bjkc,lk->bilc", rows, x, columns, precision="highest")

    def _weights(self, n: int) -> Float[Array, "n n"]:
        """What each of `n` pixels in a row takes from the others; a whole window sums to one."""
        reach = self.window // 2
        weight = lambda offset: jnp.exp(-jnp.square(offset / self.std) / 2)  # noqa: E731
        apart = jnp.abs(jnp.arange(n)[:, None] - jnp.arange(n))
        return jnp.where(apart <= reach, weight(apart), 0.0) / jnp.sum(weight(jnp.arange(-reach, reach + 1)))
