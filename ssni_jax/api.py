"""The library in one call."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Shaped

from ssni_jax.core.rng import fold, sample_keys
from ssni_jax.data import check_images, padded
from ssni_jax.dist import by_rows, global_rows, make_mesh, on_every_host, whole
from ssni_jax.presets import preset as named_preset
from ssni_jax.purify import Defense, Ragged
from ssni_jax.zoo import check_fit, resolve

BATCH = 64
PURIFY = 0


class Opened(NamedTuple):
    """Purified images [B, H, W, C] in [0, 1], score norm [B], t [B, rounds], network calls [B], class [B]."""

    images: Any
    norm: Any
    t: Any
    n_calls: Any
    label: Any


def purify(images: Shaped[Any, "..."], seed: int = 0, preset: str = "digits-ssni-n") -> Float[np.ndarray, "..."]:
    """Purified images, clipped to [0, 1]: [B, H, W, C], or one image [H, W, C]; uint8, or float in [0, 1].

    The same seed gives image i of the batch the same result whatever the batch. ValueError names what does not fit.
    """
    images = np.asarray(images)
    if images.ndim == 3:
        return purify_with(named_preset(preset), images[None], seed).images[0]
    return purify_with(named_preset(preset), images, seed).images


def purify_with(defense: Defense, images: Shaped[Any, "..."], seed: int = 0, first_id: int = 0) -> Opened:
    """`purify` with any defence, opened up; image i has sample id `first_id + i`."""
    images = check_images(images)
    check_fit(defense, images.shape[1:])
    if not len(images):
        raise ValueError(f"there are no images in an array of shape {images.shape}: give at least one.")
    mesh = make_mesh()
    defense = resolve(defense, whole(mesh))
    defense = dataclasses.replace(defense, purify=dataclasses.replace(defense.purify, walk=Ragged()))
    run = program(mesh)
    n = -(-min(BATCH, len(images)) // mesh.shape["data"]) * mesh.shape["data"]
    parts = []
    for start in range(0, len(images), n):
        batch = padded({"image": images[start : start + n], "id": np.arange(start, min(start + n, len(images)))}, n)
        rows = global_rows(mesh, batch)
        keys = sample_keys(jax.random.key(seed), first_id + rows["id"])
        done = on_every_host(run(defense, keys, rows["image"]))
        parts.append(jax.tree.map(lambda v, kept=batch["mask"]: v[kept], done))
    return jax.tree.map(lambda *v: np.concatenate(v), *parts)


@functools.cache
def program(mesh: Mesh) -> Callable[..., Opened]:
    """One program a mesh, so that calls with the same kind of defence and number of images compile once."""
    return jax.jit(by_rows(mesh, opened))


def opened(defense: Defense, keys: Any, x: Any) -> Opened:
    """One batch of `purify_with`."""
    done = defense.purify.run(fold(keys, PURIFY), x)
    label = defense.classify(done.image).argmax(axis=1)
    return Opened(done.image.clip(0, 1), done.deviation, done.t.T, done.n_calls, label)
