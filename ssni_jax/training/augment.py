"""Augmentations drawn per sample, on the device."""

import dataclasses
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp

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


def augmented(augments: tuple[Augment, ...], keys: Keys, x: Images) -> Images:
    """All of `augments` in order, each with its own draw."""
    for draw, augment in enumerate(augments):
        x = augment(fold(keys, draw), x)
    return x
