"""The data set inside scikit-learn: 1,797 real handwritten digits, nothing to download."""

import dataclasses
import functools
import hashlib
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from ssni_jax.data.images import enlarged
from ssni_jax.data.source import Example, example

PARTS = {"test": slice(0, 400), "calibration": slice(400, 600), "train": slice(600, 1797)}


@dataclasses.dataclass(frozen=True)
class Digits:
    """One of three fixed, disjoint parts of `sklearn.datasets.load_digits`: train 1197, calibration 200, test 400.

    Pixels 0..16 are divided by 16; a `size` other than 8 is a bilinear resize with half-pixel centres, not antialiased.
    `fingerprint` is the sha256 of the original pixels, the labels and the size.
    """

    part: Literal["train", "calibration", "test"] = "train"
    size: int = 8

    def __post_init__(self):
        if self.part not in PARTS:
            raise ValueError(f"Digits has no part {self.part!r}; choose train, calibration or test.")
        if self.size < 1:
            raise ValueError(f"Digits cannot have size {self.size}; choose 8, 16 or another positive number.")

    @property
    def images(self) -> Float[np.ndarray, "N H W 1"]:
        return _read(self)[0]

    @property
    def labels(self) -> Int[np.ndarray, " N"]:
        return _read(self)[1]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.size, self.size, 1

    @property
    def n_classes(self) -> int:
        return 10

    @property
    def fingerprint(self) -> str:
        pixels, labels = _original(self.part)
        return hashlib.sha256(pixels.tobytes() + labels.tobytes() + str(self.size).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> Example:
        return example(self.images, self.labels, i)


@functools.cache
def _read(source: Digits) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = _original(source.part)
    images = (pixels[..., None] / 16).astype(np.float32)
    images = images if source.size == 8 else enlarged(images, source.size)
    images.setflags(write=False)
    return images, labels


@functools.cache
def _original(part: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits  # slow to import, and other sources do without

    pixels, labels = load_digits(return_X_y=True)
    chosen = np.random.RandomState(0).permutation(len(labels))[PARTS[part]]
    return pixels[chosen].reshape(-1, 8, 8).astype(np.uint8), labels[chosen].astype(np.int32)
