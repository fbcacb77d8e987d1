"""Sources whose images are decoded one by one from the bytes of files or records."""

import abc
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ssni_jax.data import workers
from ssni_jax.data.decode import decoded
from ssni_jax.data.resizing import Pixels, Resizing, resizing_of
from ssni_jax.data.source import Example, as_float, stacked


class EncodedImage(NamedTuple):
    """An image as it is stored, its label, and how errors call it."""

    content: bytes
    label: int
    name: str


class EncodedImages(abc.ABC):
    """What all sources of encoded images share; a subclass is a frozen dataclass with these fields."""

    size: int | None
    resizing: Resizing

    @abc.abstractmethod
    def encoded(self, i: int) -> EncodedImage:
        """Image i as it is stored."""

    @property
    @abc.abstractmethod
    def n_channels(self) -> int:
        """1 for grey, 3 for colour."""

    @property
    @abc.abstractmethod
    def n_classes(self) -> int: ...

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str: ...

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @property
    def resize(self) -> Resizing:
        """What is done to every picture, whichever field says it."""
        return resizing_of(self.size, self.resizing)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        side = self.resize.side
        return _first_shape(self) if side is None else (side, side, self.n_channels)

    def __getitem__(self, i: int) -> Example:
        pixels, label = self.pixels(i)
        return {"image": as_float(pixels), "label": label, "id": i}

    def pixels(self, i: int) -> tuple[Pixels, int]:
        """Image i as uint8, or as float32 in [0, 1], and its label."""
        image = self.encoded(i)
        return self.resize(decoded(image.content, image.name, self.n_channels)), image.label

    def rows(self, ids: Int[np.ndarray, " B"]) -> tuple[Float[np.ndarray, "B H W C"], Int[np.ndarray, " B"]]:
        """Images and labels `ids`; those of a large source are decoded in worker processes."""
        if not workers.are_worth_it(self, len(ids)):
            examples = [self[int(i)] for i in ids]
            return stacked(examples), np.array([example["label"] for example in examples])
        images, labels = np.empty((len(ids), *self.image_shape), np.float32), np.empty(len(ids), np.int64)
        for start, pixels, part_labels in workers.decoded_parts(self, ids):
            part = slice(start, start + len(pixels))
            images[part], labels[part] = as_float(pixels), part_labels
        return images, labels


def decoded_part(source: Any, ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """What a worker process gives back: pixels as they were decoded, which are a quarter of float32, and labels."""
    rows = [source.pixels(i) for i in ids]
    shape = source.image_shape
    for i, (pixels, _) in zip(ids, rows, strict=True):
        if pixels.shape != shape:
            raise ValueError(
                f"image {i} has shape {pixels.shape} and image 0 {shape}; give the source a size, so that all are "
                "resized and cropped alike."
            )
    return np.stack([pixels for pixels, _ in rows]), np.array([label for _, label in rows])


@functools.cache
def _first_shape(source: EncodedImages) -> tuple[int, int, int]:
    return source.pixels(0)[0].shape
