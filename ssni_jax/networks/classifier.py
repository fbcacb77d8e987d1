"""Classifiers from images in [0, 1]: resizing and normalisation stand here, once, for every network."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Images, Logits, Tree
from ssni_jax.networks.layers import Features, Maps

INTERPOLATIONS = ("nearest", "linear", "cubic", "lanczos3", "lanczos5")


@pytree
class Preprocessing:
    """Resizes to `size` x `size` (None keeps the size) and gives (x - mean) / std, per channel or one for all.

    `interpolation` is a method of `jax.image.resize`. With `antialias`, "linear", "cubic" and "lanczos3" are Pillow's
    BILINEAR, BICUBIC and LANCZOS without its rounding and clipping to 8 bits; without, "linear" is torch's
    `interpolate(mode="bilinear")`.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    size: int | None = static(default=None)
    interpolation: str = static(default="linear")
    antialias: bool = static(default=True)

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
        if self.interpolation not in INTERPOLATIONS:
            known = ", ".join(INTERPOLATIONS)
            raise ValueError(f"interpolation is {self.interpolation!r}, but it must be one of {known}")

    def __call__(self, x: Images) -> Float[Array, "B _h _w C"]:
        b, h, w, c = x.shape
        n_channels = max(len(self.mean), len(self.std))
        if n_channels not in (1, c):
            raise ValueError(f"mean and std are for {n_channels} channels, and the images have {c}: give one a channel")
        if self.size is not None and (h, w) != (self.size, self.size):
            x = jax.image.resize(x, (b, self.size, self.size, c), self.interpolation, antialias=self.antialias)
        return (x - jnp.asarray(self.mean)) / jnp.asarray(self.std)


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
