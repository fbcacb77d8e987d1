"""How alike two images are, one number per row: what a guide climbs."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.core.bounds import bounded
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Images, Level

Maps = Float[Array, "_B _h _w _C"]


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
class NegativeL1:
    """Minus the absolute difference, summed over channels and averaged over the positions of an image."""

    def __call__(self, x: Images, reference: Images) -> Level:
        return -jnp.mean(jnp.sum(jnp.abs(x - reference), axis=3), axis=(1, 2))


@pytree
class Ssim:
    """Structural similarity (Wang et al. 2004, eq. 13) under a Gaussian window, averaged over the image.

    `window` pixels wide, of standard deviation `std`; `span` is the range of values, 1 as in GDMP's code although
    images in [-1, 1] have 2. Near an edge the window is cut off and the image continues with zeros, as there.
    """

    window: int = static(default=11)
    std: float = bounded(0, above=True, default=1.5)
    span: float = bounded(0, above=True, default=1.0)

    def __post_init__(self):
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"A window around a pixel is odd, not window={self.window}.")

    def __call__(self, x: Images, reference: Images) -> Level:
        return jnp.mean(similarity_map(self._blurred, x, reference, self.span), axis=(1, 2, 3))

    def _blurred(self, x: Images) -> Images:
        """The window's weighted mean around every pixel."""
        return weighted(x, *(window_weights(n, self.window, self.std) for n in x.shape[1:3]))


def similarity_map(
    mean: Callable[[Images], Maps], x: Images, reference: Images, span: float | Float[Array, ""]
) -> Maps:
    """Structural similarity around every pixel (Wang et al. 2004, eq. 13), from a window's weighted `mean`."""
    mean_x, mean_r = mean(x), mean(reference)
    var_x = mean(jnp.square(x)) - jnp.square(mean_x)
    var_r = mean(jnp.square(reference)) - jnp.square(mean_r)
    both = mean(x * reference) - mean_x * mean_r
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    above = (2 * mean_x * mean_r + c1) * (2 * both + c2)
    below = (jnp.square(mean_x) + jnp.square(mean_r) + c1) * (var_x + var_r + c2)
    return above / below


def weighted(x: Images, rows: Float[Array, "h H"], columns: Float[Array, "w W"]) -> Maps:
    """Sums of pixels, weighted by the product of a weight for the row and one for the column."""
    return jnp.einsum("ij,bjkc,lk->bilc", rows, x, columns, precision="highest")


def window_weights(n: int, window: int, std: float | Float[Array, ""]) -> Float[Array, "n n"]:
    """What each of `n` pixels in a row takes from the others under a Gaussian; a whole window sums to one."""
    reach = window // 2
    weight = lambda offset: jnp.exp(-jnp.square(offset / std) / 2)  # noqa: E731
    apart = jnp.abs(jnp.arange(n)[:, None] - jnp.arange(n))
    return jnp.where(apart <= reach, weight(apart), 0.0) / jnp.sum(weight(jnp.arange(-reach, reach + 1)))
