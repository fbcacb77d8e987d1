"""LPIPS v0.1 (Zhang et al. 2018, arXiv:1801.03924): a perceptual distance, learned on features of a classifier."""

import dataclasses

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from ssni_jax.core.arrays import safe_sqrt
from ssni_jax.core.types import Images, Level
from ssni_jax.networks.backbones import STACKS, Backbone, widths
from ssni_jax.networks.choices import DTYPES, check_choices
from ssni_jax.networks.classifier import Preprocessing
from ssni_jax.networks.layers import Maps

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of images in [-1, 1], for the backbone
TINY = 1e-10


@dataclasses.dataclass(frozen=True)
class LpipsConfig:
    """`backbone` is "alex", "vgg" or "squeeze"; `size` resizes both images as torch's bilinear `interpolate`, or None.

    `dtype` is the compute type of the backbone; distances between features are float32.
    """

    backbone: str = "vgg"
    size: int | None = None
    dtype: str = "float32"

    def __post_init__(self):
        check_choices(self, {"backbone": tuple(STACKS), "dtype": DTYPES})

    def make(self, *, rngs: nnx.Rngs) -> "Lpips":
        """The network of this shape, freshly initialised."""
        return Lpips(self, rngs=rngs)


class Lpips(nnx.Module):
    """Distance of two images in [-1, 1]: sum over taps of the mean over positions of w . (u_a - u_b)^2, eq. 1.

    u are features of unit length at every position, w the non-negative weights of a tap's channels.
    """

    def __init__(self, config: LpipsConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.backbone = Backbone(config.backbone, rngs=rngs, dtype=config.dtype)
        self.heads = nnx.Dict({f"tap{i}": Head(n) for i, n in enumerate(widths(STACKS[config.backbone]))})

    def __call__(self, a: Images, b: Images) -> Level:
        # Two forward passes, not one of the pair: a gradient by one image, or a reference that stays, costs one pass.
        taps = zip(self.heads.values(), self.features(a), self.features(b), strict=True)
        return sum((head(u, v) for head, u, v in taps), start=jnp.zeros(a.shape[0]))

    def features(self, x: Images) -> list[Maps]:
        """The taps' features, each position's channels of unit length, float32."""
        scaling = Preprocessing(SHIFT, SCALE, self.config.size, antialias=False)
        return [unit(tap.astype(jnp.float32)) for tap in self.backbone(scaling(x))]


class Head(nnx.Module):
    """Weighted squared difference of features, averaged over positions."""

    def __init__(self, n: int):
        self.kernel = nnx.Param(jnp.full((n, 1), 1 / n))

    def __call__(self, u: Maps, v: Maps) -> Level:
        return jnp.mean((jnp.square(u - v) @ self.kernel[...])[..., 0], (1, 2))


def unit(x: Float[Array, "*positions C"]) -> Float[Array, "*positions C"]:
    """x / (|x| + 1e-10) along the channels, as released; zero features stay zero and have a finite gradient."""
    length = safe_sqrt(jnp.sum(jnp.square(x), -1, keepdims=True))
    return x / (length + TINY)
