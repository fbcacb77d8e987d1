"""Arrays in an .npz file as a source."""

import dataclasses
import functools
import glob
import hashlib

import numpy as np
from jaxtyping import Int, Shaped

from ssni_jax.data.images import check_images
from ssni_jax.data.labels import as_labels
from ssni_jax.data.npz_file import open_npz
from ssni_jax.data.source import Example, example


@dataclasses.dataclass(frozen=True)
class Npz:
    """Rows `start` to `stop` of the arrays `images` [N, H, W, C] (uint8, or float in [0, 1]) and `labels` [N].

    `path` may be a pattern, such as data/train_*.npz, whose files follow each other in the order of their names.
    Without such labels every label is -1. `fingerprint` is the sha256 of the chosen pixels and labels.
    """

    path: str
    images_key: str = "images"
    labels_key: str = "labels"
    start: int = 0
    stop: int | None = None

    @property
    def images(self) -> Shaped[np.ndarray, "N H W C"]:
        return _read(self)[0]

    @property
    def labels(self) -> Int[np.ndarray, " N"]:
        return _read(self)[1]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.images.shape[1:]

    @property
    def n_classes(self) -> int:
        return int(self.labels.max()) + 1

    @property
    def fingerprint(self) -> str:
        return _digest(self)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> Example:
        return example(self.images, self.labels, i)


@functools.cache
def _read(source: Npz) -> tuple[np.ndarray, np.ndarray]:
    images, labels = _arrays(source)
    if images.ndim != 4:
        raise ValueError(f"{source.path} holds images of shape {images.shape}; give [N, H, W, C].")
    if images.shape[-1] not in (1, 3):
        remedy = "; move the channels last" if images.shape[1] in (1, 3) else ""
        raise ValueError(f"{source.path} holds images of shape {images.shape}; give 1 or 3 channels{remedy}.")
    images, labels = images[source.start : source.stop], labels[source.start : source.stop]
    if not len(images):
        raise ValueError(f"{source.path} has no rows from {source.start} to {source.stop}; widen the range.")
    return images if images.dtype == np.uint8 else check_images(images), labels


def _arrays(source: Npz) -> tuple[np.ndarray, np.ndarray]:
    """The arrays of every file the path stands for, one after the other."""
    parts = [_file(path, source) for path in sorted(glob.glob(source.path)) or [source.path]]
    shapes = {images.shape[1:] for images, _ in parts}
    if len(shapes) > 1:
        raise ValueError(f"the files of {source.path} hold images of different shapes {sorted(shapes)}; name one file.")
    images, labels = zip(*parts, strict=True)
    return (images[0], labels[0]) if len(parts) == 1 else (np.concatenate(images), np.concatenate(labels))


def _file(path: str, source: Npz) -> tuple[np.ndarray, np.ndarray]:
    with open_npz(path) as arrays:
        images = arrays[source.images_key]
        labels = arrays[source.labels_key] if source.labels_key in arrays else np.full(len(np.atleast_1d(images)), -1)
        return images, as_labels(labels, len(np.atleast_1d(images)), path)


@functools.cache
def _digest(source: Npz) -> str:
    digest = hashlib.sha256(repr((source.images.shape, str(source.images.dtype))).encode())
    digest.update(np.ascontiguousarray(source.images).data)
    digest.update(source.labels.astype("<i4").tobytes())
    return digest.hexdigest()
