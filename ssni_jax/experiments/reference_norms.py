"""What a config file of `ssni calibrate` builds."""

import dataclasses
from typing import ClassVar

from ssni_jax.core.protocols import Deviation
from ssni_jax.core.pytree import ADDED
from ssni_jax.data import Source
from ssni_jax.experiments.evaluation import Precision
from ssni_jax.experiments.field_types import check_types
from ssni_jax.experiments.selection import check_positive, check_seeds, chosen_ids


@dataclasses.dataclass(frozen=True)
class ReferenceNorms:
    """The norms of clean images under one deviation, which SSNI compares each input with."""

    GROWS: ClassVar = ("n_images",)
    SPEED: ClassVar = ("name", "batch_size")

    name: str
    """How progress lines call the run."""
    deviation: Deviation
    """What measures, over a stored network: the same value as in the SSNI purifier that will use the norms."""
    images: Source
    """Clean images the score network has not seen: on images it has memorised norms are too small."""
    n_images: int | None = None
    """Measure only the first n images of a random order; None for all. The papers take 5,000 training images."""
    order_seed: int | None = None
    """Seed of that order; None keeps the order of the source, and 0 is the published choice."""
    any_size: bool = dataclasses.field(default=False, metadata=ADDED)
    """Take images of another size than the network's own, as SSNI's ImageNet code measures at 224 pixels."""
    batch_size: int = 64
    """Images at a time, over all devices."""
    seed: int = 0
    matmul_precision: Precision = "default"
    """Precision of matrix products: on GPUs "default" may be TF32, on TPUs bfloat16; "highest" is float32."""

    def __post_init__(self):
        check_types(self)
        check_positive(self, "batch_size")
        check_seeds(self, "seed", "order_seed")

    @property
    def ids(self) -> list[int]:
        """The images to measure, by their place in the source."""
        return sorted(chosen_ids(len(self.images), self.n_images, self.order_seed))
