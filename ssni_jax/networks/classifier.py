"""Classifiers from images in [0, 1]: resizing and normalisation stand here, once, for every network."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.core.arrays import over, to_diffusion_range
from ssni_jax.core.interpolation import cubic_weights
from ssni_jax.core.pytree import ADDED, pytree, static
from ssni_jax.core.types import Images, Level, Logits, Tree
from ssni_jax.networks.layers import Features, Maps
from ssni_jax.networks.precondition import CoefficientFunction

TORCH_CUBIC = "torch_cubic"
INTERPOLATIONS = ("nearest", "linear", "cubic", "lanczos3", "lanczos5", TORCH_CUBIC)


@pytree
class Preprocessing:
    """Resizes to `size` x `size`, keeps the middle `crop` x `crop`, and gives (x - mean) / std.

    None leaves a step out. `mean` and `std` have one value per channel, or one for all. torchvision's Resize(256) and
    CenterCrop(224) of a square image are size=256 and crop=224.
    `interpolation` is a method of `jax.image.resize`. With `antialias`, "linear", "cubic" and "lanczos3" are Pillow's
    BILINEAR, BICUBIC and LANCZOS without its rounding and clipping to 8 bits; without, "linear" is torch's
    `interpolate(mode="bilinear")`, and "torch_cubic", which has no antialiasing, its `mode="bicubic"`.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    size: int | None = static(default=None)
    interpolation: str = static(default="linear")
    antialias: bool = static(default=True)
    crop: int | None = static(default=None, metadata=ADDED)

    def __post_init__(self):
        lengths = {len(values) for values in (self.mean, self.std)} - {1}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError(f"mean {self.mean} and std {self.std} must have one value each, or one a channel")
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std {self.std} must be positive in every channel")
        if self.size is not None and self.size < 1:
            raise ValueError(
                f"images cannot be resized to {self.size} pixels: give a positive size, or None to keep it"
            )
        if self.crop is not None and not 1 <= self.crop <= (self.size or self.crop):
            kept = "images" if self.size is None else f"images of {self.size} pixels"
            raise ValueError(f"the middle {self.crop} pixels of {kept} cannot be kept: give a crop from 1 to the size")
        if self.interpolation not in INTERPOLATIONS:
            known = ", ".join(INTERPOLATIONS)
            raise ValueError(f"interpolation is {self.interpolation!r}, but it must be one of {known}")
        if self.interpolation == TORCH_CUBIC and self.antialias:
            raise ValueError('interpolation "torch_cubic" has no antialiasing: set antialias=False, or take "cubic"')

    def __call__(self, x: Images) -> Float[Array, "B _h _w C"]:
        _, h, w, c = x.shape
        n_channels = max(len(self.mean), len(self.std))
        if n_channels not in (1, c):
            raise ValueError(f"mean and std are for {n_channels} channels, and the images have {c}: give one a channel")
        if self.size is not None and (h, w) != (self.size, self.size):
            x = self._resized(x, self.size)
        if self.crop is not None:
            x = middle(x, self.crop)
        return (x - jnp.asarray(self.mean)) / jnp.asarray(self.std)

    def _resized(self, x: Images, size: int) -> Float[Array, "B size size C"]:
        b, h, w, c = x.shape
        if self.interpolation != TORCH_CUBIC:
            return jax.image.resize(x, (b, size, size, c), self.interpolation, antialias=self.antialias)
        rows, columns = (jnp.asarray(cubic_weights(n, size), x.dtype) for n in (h, w))
        return jnp.einsum("ph,bhwc,qw->bpqc", rows, x, columns, precision=jax.lax.Precision.HIGHEST)


def middle(x: Images, size: int) -> Float[Array, "B _h _w C"]:
    """The middle `size` x `size` of images; an odd rest is divided as by torchvision's CenterCrop."""
    h, w = x.shape[1:3]
    if min(h, w) < size:
        raise ValueError(f"images of {h} x {w} pixels have no middle of {size}: give a smaller crop, or a size as well")
    top, left = round((h - size) / 2), round((w - size) / 2)
    return x[:, top : top + size, left : left + size]


@pytree
class PreprocessedClassifier:
    """A network behind its preprocessing: images in [0, 1] to logits."""

    network: Tree
    preprocessing: Preprocessing = Preprocessing()

    def __call__(self, x: Images, **options: Any) -> Logits:
        return self.network(self.preprocessing(x), **options)

    def features(self, x: Images) -> Features:
        """What the network's last layer reads, one vector per image."""
        return self.network.method("penultimate")(self.preprocessing(x))

    def taps(self, x: Images) -> list[Maps]:
        """The network's intermediate features, from the first block to the last."""
        return self.network.method("taps")(self.preprocessing(x))


@pytree
class NoiseConditionedClassifier:
    """A network of noisy images that is told their noise: images in [0, 1] plus noise `sigma` to logits.

    The network reads c_in x and the label of 2 sigma, the noise in the [-1, 1] range; only those two of `coefficients`
    are used (Lei et al. 2025, arXiv:2501.13094).
    """

    network: Tree
    coefficients: CoefficientFunction

    def __call__(self, x: Images, sigma: Level, **options: Any) -> Logits:
        return self.network(*scaled(self.coefficients, to_diffusion_range(x), 2 * sigma), **options)


def role_of(config: Any, around: Any) -> str:
    """What stands around a stored network: its "preprocessing", its "conditioning", or a denoiser's "coefficients"."""
    if isinstance(around, Preprocessing):
        return "preprocessing"
    return "conditioning" if getattr(config, "classifies_noisy_images", False) else "coefficients"


def scaled(coefficients: CoefficientFunction, x: Images, sigma: Level) -> tuple[Images, Level]:
    """What a noise-conditioned network reads of x in [-1, 1] with noise sigma: c_in x and the label."""
    c = coefficients(sigma)
    return over(c.in_, x) * x, c.noise
