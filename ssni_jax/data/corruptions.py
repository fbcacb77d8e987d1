"""A source seen through one of the 15 common corruptions (Hendrycks & Dietterich 2019, arXiv:1903.12261)."""

import dataclasses
import hashlib
import zlib
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ssni_jax.data.distortions import DISTORTIONS, Flakes
from ssni_jax.data.labels import NO_LABELS, known_labels
from ssni_jax.data.source import Example, Source

REVISION = 1  # increase it when a corruption changes, so that stored results of the old one are told apart
LARGEST_SMALL = 64  # pixels
PIXELS_OF_CONSTANTS = 244  # the side that the released ImageNet-C code multiplies elastic constants by

SMALL = {
    "gaussian_noise": ((0.04,), (0.06,), (0.08,), (0.09,), (0.10,)),
    "shot_noise": ((500.0,), (250.0,), (100.0,), (75.0,), (50.0,)),
    "impulse_noise": ((0.01,), (0.02,), (0.03,), (0.05,), (0.07,)),
    "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)),
    "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    "motion_blur": ((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5)),
    "zoom_blur": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    "snow": (
        (Flakes(0.1, 0.2, 1.0, 0.6, 8, 3.0), 0.95),
        (Flakes(0.1, 0.2, 1.0, 0.5, 10, 4.0), 0.9),
        (Flakes(0.15, 0.3, 1.75, 0.55, 10, 4.0), 0.9),
        (Flakes(0.25, 0.3, 2.25, 0.6, 12, 6.0), 0.85),
        (Flakes(0.3, 0.3, 1.25, 0.65, 14, 12.0), 0.8),
    ),
    "frost": ((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    "fog": ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75)),
    "brightness": ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,)),
    "contrast": ((0.75,), (0.5,), (0.4,), (0.3,), (0.15,)),
    "elastic_transform": (
        (0.0, 0.0, 0.08),
        (0.05, 0.2, 0.07),
        (0.08, 0.06, 0.06),
        (0.1, 0.04, 0.05),
        (0.1, 0.03, 0.03),
    ),
    "pixelate": ((0.95,), (0.9,), (0.85,), (0.75,), (0.65,)),
    "jpeg_compression": ((80,), (65,), (58,), (50,), (40,)),
}
LARGE = {
    "gaussian_noise": ((0.08,), (0.12,), (0.18,), (0.26,), (0.38,)),
    "shot_noise": ((60.0,), (25.0,), (12.0,), (5.0,), (3.0,)),
    "impulse_noise": ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,)),
    "defocus_blur": ((3.0, 0.1), (4.0, 0.5), (6.0, 0.5), (8.0, 0.5), (10.0, 0.5)),
    "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    "motion_blur": ((10, 3.0), (15, 5.0), (15, 8.0), (15, 12.0), (20, 15.0)),
    "zoom_blur": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    "snow": (
        (Flakes(0.1, 0.3, 3.0, 0.5, 10, 4.0), 0.8),
        (Flakes(0.2, 0.3, 2.0, 0.5, 12, 4.0), 0.7),
        (Flakes(0.55, 0.3, 4.0, 0.9, 12, 8.0), 0.7),
        (Flakes(0.55, 0.3, 4.5, 0.85, 12, 8.0), 0.65),
        (Flakes(0.55, 0.3, 2.5, 0.85, 12, 12.0), 0.55),
    ),
    "frost": ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    "fog": ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)),
    "brightness": ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,)),
    "contrast": ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,)),
    "elastic_transform": (
        (2.0, 0.7, 0.1),
        (2.0, 0.08, 0.2),
        (0.05, 0.01, 0.02),
        (0.07, 0.01, 0.02),
        (0.12, 0.01, 0.02),
    ),
    "pixelate": ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,)),
    "jpeg_compression": ((25,), (18,), (15,), (10,), (7,)),
}


@dataclasses.dataclass(frozen=True)
class Corrupted:
    """The images of `source`, each under one corruption at a severity of 1 to 5; labels and numbers stay.

    Images of up to 64 pixels a side have the constants of CIFAR-10-C, larger ones those of ImageNet-C. Noise follows
    from the image's number and the corruption, so that severities are compared on the same noise. Images are not
    rounded to 8 bits. The corruptions are implemented anew and frost is a generated texture: rates are comparable with
    those of the released data sets, single images are not.
    """

    source: Source
    corruption: str = "gaussian_noise"
    severity: int = 3

    def __post_init__(self):
        if self.corruption not in DISTORTIONS:
            raise ValueError(f"There is no corruption {self.corruption!r}; choose one of {', '.join(DISTORTIONS)}.")
        if self.severity not in range(1, 6):
            raise ValueError(f"severity must be a whole number from 1 to 5, got {self.severity}.")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.source.image_shape

    @property
    def n_classes(self) -> int:
        return self.source.n_classes

    @property
    def why_unlabelled(self) -> str:
        """What `source` says of its labels."""
        return getattr(self.source, "why_unlabelled", NO_LABELS.format(self.source))

    def known_labels(self) -> Int[np.ndarray, " N"] | None:
        """The labels of `source`, where it knows them without reading images."""
        return known_labels(self.source)

    @property
    def fingerprint(self) -> str:
        content = f"{self.source.fingerprint} {self.corruption} {self.severity} {REVISION}"
        return hashlib.sha256(content.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> Example:
        clean = self.source[i]
        return {**clean, "image": corrupted(clean["image"], self.corruption, self.severity, clean["id"])}


def corrupted(x: Float[np.ndarray, "H W C"], name: str, severity: int, id: int) -> Float[np.ndarray, "H W C"]:
    """One image in [0, 1] under a corruption, in [0, 1]; `id` and name choose the noise."""
    rng = np.random.RandomState((zlib.crc32(name.encode()), id))
    result = DISTORTIONS[name](rng, x.astype(np.float64), *constants(name, severity, x.shape[:2]))
    return np.clip(result, 0, 1).astype(np.float32)


def constants(name: str, severity: int, sides: tuple[int, ...]) -> tuple[Any, ...]:
    """The constants of a corruption for images of this size; lengths of the elastic one in pixels."""
    small = max(sides) <= LARGEST_SMALL
    chosen = (SMALL if small else LARGE)[name][severity - 1]
    if name != "elastic_transform":
        return chosen
    return tuple(share * (min(sides) if small else PIXELS_OF_CONSTANTS) for share in chosen)
