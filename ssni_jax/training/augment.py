"""Augmentations drawn per sample, on the device."""

import dataclasses
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.core.rng import fold
from ssni_jax.core.types import Images, Keys


@runtime_checkable
class Augment(Protocol):
    """A random change of each image that keeps its label; row i follows from key i alone."""

    def __call__(self, keys: Keys, x: Images) -> Images: ...


@dataclasses.dataclass(frozen=True)
class Shift:
    """Moves each image by up to `pixels` in both directions; what enters repeats the edge."""

    pixels: int

    def __call__(self, keys: Keys, x: Images) -> Images:
        """A crop of the edge-padded image."""
        p = self.pixels
        padded = jnp.pad(x, ((0, 0), (p, p), (p, p), (0, 0)), "edge")

        def crop(key, image):
            top, left = jax.random.randint(key, (2,), 0, 2 * p + 1)
            return jax.lax.dynamic_slice(image, (top, left, 0), x.shape[1:])

        return jax.vmap(crop)(keys, padded)


@dataclasses.dataclass(frozen=True)
class Mirror:
    """Flips each image left to right with probability one half."""

    def __call__(self, keys: Keys, x: Images) -> Images:
        """The image or its mirror image."""
        flip = jax.vmap(jax.random.bernoulli)(keys)
        return jnp.where(flip[:, None, None, None], x[:, :, ::-1], x)


@dataclasses.dataclass(frozen=True)
class ResizedCrop:
    """A random part of each image, resized to the whole: torchvision's RandomResizedCrop, bilinear with antialiasing.

    The part has between `smallest` and all of the area, and sides in a ratio of 3/4 to 4/3, cut off where a side would
    be longer than the image's.
    """

    smallest: float = 0.08

    def __post_init__(self):
        if not 0 < self.smallest <= 1:
            raise ValueError(f"smallest={self.smallest} is a share of the area; choose it above 0 and at most 1.")

    def __call__(self, keys: Keys, x: Images) -> Images:
        """The part in the size of the image."""
        size = jnp.asarray(x.shape[1:3], jnp.float32)

        def crop(key, image):
            area, ratio, *place = jax.random.uniform(key, (4,))
            area = self.smallest + (1 - self.smallest) * area
            log_ratio = (2 * ratio - 1) * jnp.log(4 / 3)
            share = jnp.minimum(jnp.sqrt(area) * jnp.exp(jnp.asarray([0.5, -0.5]) * log_ratio), 1.0)
            corner = jnp.stack(place) * (1 - share) * size
            return jax.image.scale_and_translate(
                image, image.shape, (0, 1), 1 / share, -corner / share, "linear", antialias=True
            )

        return jax.vmap(crop)(keys, x)


@dataclasses.dataclass(frozen=True)
class Jitter:
    """Changes brightness, contrast and saturation by random factors, in that order, with a probability.

    Each factor lies between 1 - strength and 1 + strength; torchvision's ColorJitter without hue, in a fixed order.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    probability: float = 0.8

    def __call__(self, keys: Keys, x: Images) -> Images:
        """The changed image, clipped to [0, 1]."""

        def jitter(key, image):
            chance, *draws = jax.random.uniform(key, (4,))
            strengths = (self.brightness, self.contrast, self.saturation)
            light, contrast, colour = (1 + s * (2 * draw - 1) for s, draw in zip(strengths, draws, strict=True))
            y = jnp.clip(image * light, 0, 1)
            y = jnp.clip(jnp.mean(grey(y)) * (1 - contrast) + y * contrast, 0, 1)
            y = jnp.clip(grey(y) * (1 - colour) + y * colour, 0, 1)
            return jnp.where(chance < self.probability, y, image)

        return jax.vmap(jitter)(keys, x)


@dataclasses.dataclass(frozen=True)
class Grey:
    """Takes the colour out of each image with a probability."""

    probability: float = 0.2

    def __call__(self, keys: Keys, x: Images) -> Images:
        """The image or its luma in every channel."""
        is_grey = jax.vmap(lambda key: jax.random.bernoulli(key, self.probability))(keys)
        return jnp.where(is_grey[:, None, None, None], jnp.broadcast_to(grey(x), x.shape), x)


def grey(x: Float[Array, "... C"]) -> Float[Array, "... 1"]:
    """Luma of RGB (ITU-R BT.601), or the mean of other channels."""
    weights = (0.299, 0.587, 0.114) if x.shape[-1] == 3 else (1 / x.shape[-1],) * x.shape[-1]
    return jnp.sum(x * jnp.asarray(weights), -1, keepdims=True)


def augmented(augments: tuple[Augment, ...], keys: Keys, x: Images) -> Images:
    """All of `augments` in order, each with its own draw."""
    for draw, augment in enumerate(augments):
        x = augment(fold(keys, draw), x)
    return x
