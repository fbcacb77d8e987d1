"""Distances of two images in [-1, 1], one number per row: what consistency losses minimise and quality tables show."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.core.arrays import safe_sqrt, to_unit_range
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Images, Level, Tree
from ssni_jax.networks.layers import Maps
from ssni_jax.networks.lpips import unit


@pytree
class AbsoluteDifference:
    """Mean absolute difference of the pixels."""

    def __call__(self, a: Images, b: Images) -> Level:
        return jnp.mean(jnp.abs(a - b), axis=(1, 2, 3))


@pytree
class SquaredDifference:
    """Mean squared difference of the pixels, which consistency models call l2 (Song et al. 2023, section 3)."""

    def __call__(self, a: Images, b: Images) -> Level:
        return jnp.mean(jnp.square(a - b), axis=(1, 2, 3))


@pytree
class PseudoHuber:
    """sqrt(|a - b|^2 + c^2) - c (Song & Dhariwal 2023, arXiv:2310.14189, eq. 7).

    `c` None is the paper's 0.00054 sqrt(d) for d values an image; 0 is the Euclidean distance.
    """

    c: float | None = None

    def __call__(self, a: Images, b: Images) -> Level:
        c = 0.00054 * math.sqrt(a[0].size) if self.c is None else self.c
        squared = jnp.sum(jnp.square(a - b), axis=(1, 2, 3))
        return safe_sqrt(squared + jnp.square(c)) - c


@pytree
class Perceptual:
    """A network of two images, such as LPIPS; `size` resizes both to it first, bilinearly, as released (224).

    None leaves them at their own size, which costs less and sees finer detail.
    """

    network: Tree
    size: int | None = static(default=224)

    def __call__(self, a: Images, b: Images) -> Level:
        return self.network(self._resized(a), self._resized(b))

    def _resized(self, x: Images) -> Float[Array, "B _h _w C"]:
        shape = (x.shape[0], self.size, self.size, x.shape[3])
        return x if self.size is None else jax.image.resize(x, shape, "linear", antialias=False)


@pytree
class FeatureDistance:
    """LPIPS's distance (Zhang et al. 2018, arXiv:1801.03924, eq. 1) with all weights one, on a classifier's features.

    For data that no trained LPIPS knows. Name the classifier beside the number.
    """

    classifier: Tree

    def __call__(self, a: Images, b: Images) -> Level:
        pairs = zip(self._features(a), self._features(b), strict=True)
        differences = (jnp.mean(jnp.sum(jnp.square(u - v), -1), (1, 2)) for u, v in pairs)
        return sum(differences, start=jnp.zeros(a.shape[0]))

    def _features(self, x: Images) -> list[Maps]:
        return [unit(tap.astype(jnp.float32)) for tap in self.classifier.taps(to_unit_range(x))]
