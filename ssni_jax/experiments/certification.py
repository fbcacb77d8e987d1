"""What a config file of `ssni certify` builds."""

import dataclasses
from typing import ClassVar

from ssni_jax.certify import FixedDraws, Stopping, check_draws
from ssni_jax.core.protocols import Distance, Predict
from ssni_jax.data import Source
from ssni_jax.experiments.evaluation import Precision
from ssni_jax.experiments.field_types import check_types
from ssni_jax.experiments.selection import blocks, check_positive, check_seeds, chosen_ids
from ssni_jax.purify.selectors import asks_oracle


@dataclasses.dataclass(frozen=True)
class Certification:
    """One predictor certified by randomized smoothing on one set of images: what `ssni certify` reads."""

    GROWS: ClassVar = ("n_images", "sigmas")
    SPEED: ClassVar = ("name", "batch_size", "n_together")

    name: str
    """How tables and pictures call the method."""
    defense: Predict
    """The predictor; its first round gets the smoothing noise instead of its own."""
    images: Source
    sigmas: tuple[float, ...] = (0.25, 0.5, 1.0)
    """Smoothing noise levels, of images in [0, 1]."""
    n_selection: int = 100
    """Draws that choose the class, N0."""
    n_estimation: int = 10_000
    """Draws that bound its probability, N."""
    alpha: float = 0.001
    """Probability with which a certificate may be wrong."""
    stopping: Stopping = FixedDraws()
    """When an image needs no more draws."""
    distance: Distance | None = None
    """Distance of purified images to clean ones that is reported; None for none."""
    n_quality: int = 4
    """Draws of each image on which purification is measured."""
    n_images: int | None = None
    """Certify only the first n images of the order; None for all."""
    every: int = 1
    """Take every k-th image of the source, as papers do (every 20th of CIFAR-10's test set)."""
    order_seed: int | None = None
    """Seed of a random order of those; None keeps the order of the source."""
    batch_size: int = 256
    """Draws at a time, of whichever images, over all devices."""
    n_together: int = 8
    """Images whose draws share batches, and that a stopped run repeats at most."""
    seed: int = 0
    matmul_precision: Precision = "default"
    """Precision of matrix products: on GPUs "default" may be TF32, on TPUs bfloat16; "highest" is float32."""

    def __post_init__(self):
        check_types(self)
        check_positive(self, "n_selection", "n_estimation", "n_quality", "every", "batch_size", "n_together")
        check_seeds(self, "seed", "order_seed")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie strictly between 0 and 1, got {self.alpha}: choose for example 0.001.")
        if not self.sigmas or min(self.sigmas) <= 0 or len(set(self.sigmas)) < len(self.sigmas):
            raise ValueError(f"sigmas must be different positive noise levels, got {self.sigmas}: give e.g. 0.25.")
        if self.n_images is not None and self.n_images < 1:
            raise ValueError(f"n_images must be at least 1, or None for all, got {self.n_images}.")
        if asks_oracle(self.defense):
            raise ValueError("An Oracle is told the true perturbation and certifies nothing: give another deviation.")
        check_draws(self.stopping, self.n_estimation, self.alpha, max(self.sigmas))

    @property
    def ids(self) -> list[int]:
        """The images to certify, by their place in the source."""
        taken = range(0, len(self.images), self.every)
        return [taken[i] for i in chosen_ids(len(taken), self.n_images, self.order_seed)]

    @property
    def groups(self) -> list[list[int]]:
        """The images that share batches."""
        return blocks(self.ids, self.n_together)
