"""Labels: whole numbers, one per image, that fit the classifier they are compared with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from ssni_jax.data.source import InMemory, Source

NO_LABELS = "{} has no labels: put images into one subfolder per class, or name the label array."


def check_labels(source: Source, ids: Sequence[int], n_classes: int | None = None) -> None:
    """Refuses images `ids` without labels, and labels that a classifier of `n_classes` does not have.

    None stands for a classifier whose classes are not known. Labels that only reading the images would show are not
    looked at here.
    """
    if source.n_classes < 1:
        raise ValueError(getattr(source, "why_unlabelled", NO_LABELS.format(source)))
    labels = known_labels(source)
    if labels is None:
        return
    places = np.asarray(ids, np.int64)
    chosen = labels[places]
    if (chosen < 0).any():
        raise ValueError(
            f"image {places[chosen < 0][0]} has no label (label {chosen.min()}): label every image, or leave it out."
        )
    if n_classes is not None and chosen.max() >= n_classes:
        raise ValueError(_does_not_fit(int(chosen.min()), int(chosen.max()), n_classes))


def known_labels(source: Any) -> Int[np.ndarray, " N"] | None:
    """All labels of a source that knows them without reading its images; None for another."""
    if isinstance(source, InMemory):
        return np.asarray(source.labels)
    return source.known_labels() if hasattr(source, "known_labels") else None


def as_labels(values: Shaped[np.ndarray, "..."], n_images: int, where: str) -> Int[np.ndarray, " N"]:
    """An array of labels as int32 [N], -1 for images without one; ValueError says what is wrong in `where`."""
    if values.shape == (n_images, 1):
        values = values[:, 0]
    if values.ndim == 2 and len(values) == n_images and values.dtype.kind in "buif" and _is_one_hot(values):
        raise ValueError(f"{where} holds one-hot labels of shape {values.shape}; store their argmax instead.")
    if values.shape != (n_images,):
        raise ValueError(f"{where} holds {n_images} images but labels of shape {values.shape}; give one each.")
    if values.dtype.kind not in "buif":
        raise ValueError(f"{where} holds labels of type {values.dtype}; give whole numbers from 0.")
    whole = np.isfinite(values) & (values == np.floor(values)) & (values >= -1) & (values < 2**31)
    if not whole.all():
        row = int(np.argmin(whole))
        raise ValueError(f"{where} holds the label {values[row]} in row {row}; give whole numbers from 0.")
    return values.astype(np.int32)


def _is_one_hot(values: Shaped[np.ndarray, "N K"]) -> bool:
    return values.shape[1] > 1 and bool(((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all())


def _does_not_fit(low: int, high: int, n_classes: int) -> str:
    span = f"labels go from {low} to {high}, but the classifier has classes 0 to {n_classes - 1}"
    if low >= 1 and high - 1 < n_classes:
        return f"{span}: subtract 1?"
    return f"{span}: choose the classifier of this data set, or renumber the labels."
