"""The library in one call."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Shaped

from ssni_jax.core.protocols import Trace
from ssni_jax.core.rng import fold, root_key, sample_keys
from ssni_jax.data import check_images, padded
from ssni_jax.dist import global_rows, make_mesh, on_every_host, whole
from ssni_jax.evals.prediction import Prediction, make_predict
from ssni_jax.presets import preset as named_preset
from ssni_jax.purify.selectors import asks_oracle
from ssni_jax.zoo import check_fit, resolve

BATCH, FEW, N_SLOTS = 64, 8, 16
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


def purify_with(predict: Any, images: Shaped[Any, "..."], seed: int = 0, ids: Sequence[int] | None = None) -> Opened:
    """`purify` with any predictor, opened up; `ids` choose the noise of each image, 0, 1, 2, ... without."""
    if asks_oracle(predict):
        raise ValueError("An Oracle knows the images of an evaluation and purifies no others: give another deviation.")
    images = check_images(images)
    check_fit(predict, images.shape[1:])
    mesh = make_mesh()
    predict, root = resolve(predict, whole(mesh)), root_key(seed)
    chosen = np.arange(len(images)) if ids is None else np.asarray(ids)
    parts = []
    for start, stop, n_rows in batches(len(images), mesh.shape["data"]):
        batch = padded({"image": images[start:stop], "id": chosen[start:stop]}, n_rows)
        rows = global_rows(mesh, batch)
        keys = fold(sample_keys(root, rows["id"]), PURIFY)
        parts.append(opened(on_every_host(program(mesh)(predict, keys, rows["image"])), batch["mask"]))
    return jax.tree.map(lambda *v: np.concatenate(v), *parts)


def batches(n_images: int, n_devices: int) -> Iterator[tuple[int, int, int]]:
    """Start and end of each batch and its rows, of which there are three numbers, so that few programs are compiled.

    One image alone, whole batches of 64, and eight rows at a time for what is left.
    """
    start = 0
    while start < n_images:
        left = n_images - start
        n = BATCH if left >= BATCH else 1 if n_images == 1 else FEW
        n_rows = -(-n // n_devices) * n_devices
        yield start, start + min(n_rows, left), n_rows
        start += n_rows


@functools.cache
def program(mesh: Mesh) -> Prediction:
    """One program per mesh, so that calls with the same kind of predictor and number of images compile once."""
    return make_predict(mesh, N_SLOTS)


def opened(trace: Trace, kept: Any) -> Opened:
    """The kept rows of one batch."""
    image, label = np.clip(trace.image, 0, 1), np.argmax(trace.logits, axis=1)
    shown = Opened(image, trace.deviation, trace.t, trace.n_calls, label)
    return jax.tree.map(lambda v: v[kept], shown)
