"""The library in one call."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Shaped

from ssni_jax.core.protocols import Trace
from ssni_jax.core.rng import fold, sample_keys
from ssni_jax.data import check_images, padded
from ssni_jax.dist import global_rows, make_mesh, on_every_host, whole
from ssni_jax.evals.prediction import Prediction, make_predict
from ssni_jax.presets import preset as named_preset
from ssni_jax.zoo import check_fit, resolve

BATCH, N_SLOTS = 64, 16
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


def purify_with(predict: Any, images: Shaped[Any, "..."], seed: int = 0, first_id: int = 0) -> Opened:
    """`purify` with any predictor, opened up; image i has sample id `first_id + i`."""
    images = check_images(images)
    check_fit(predict, images.shape[1:])
    if not len(images):
        raise ValueError(f"there are no images in an array of shape {images.shape}: give at least one.")
    mesh = make_mesh()
    predict = resolve(predict, whole(mesh))
    run = program(mesh)
    n = -(-min(BATCH, len(images)) // mesh.shape["data"]) * mesh.shape["data"]
    parts = []
    for start in range(0, len(images), n):
        batch = padded({"image": images[start : start + n], "id": np.arange(start, min(start + n, len(images)))}, n)
        rows = global_rows(mesh, batch)
        keys = fold(sample_keys(jax.random.key(seed), first_id + rows["id"]), PURIFY)
        parts.append(opened(on_every_host(run(predict, keys, rows["image"])), batch["mask"]))
    return jax.tree.map(lambda *v: np.concatenate(v), *parts)


@functools.cache
def program(mesh: Mesh) -> Prediction:
    """One program per mesh, so that calls with the same kind of predictor and number of images compile once."""
    return make_predict(mesh, N_SLOTS)


def opened(trace: Trace, kept: Any) -> Opened:
    """The kept rows of one batch."""
    image, label = np.clip(trace.image, 0, 1), np.argmax(trace.logits, axis=1)
    shown = Opened(image, trace.deviation, trace.t, trace.n_calls, label)
    return jax.tree.map(lambda v: v[kept], shown)
