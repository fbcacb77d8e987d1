"""What a config file of `ssni certify` builds: one frozen value that says everything about a run."""

import dataclasses

from ssni_jax.certify import FixedDraws, Stopping, check_draws
from ssni_jax.core.protocols import Distance, Predict
from ssni_jax.data import Source
from ssni_jax.experiments.experiment import check_labelled, check_positive


@dataclasses.dataclass(frozen=True)
class Certification:
    """One method certified by randomized smoothing on one set of images: what `ssni certify` reads."""

    name: str
    """How tables and pictures call the method."""
    defense: Predict
    """A Defense, or a Vote of one; its first round gets the smoothing noise instead of its own."""
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
    """So many images at most; None for all."""
    every: int = 1
    """Every so-manieth image, from the first on."""
    batch_size: int = 256
    """Draws at a time, of whichever images, over all devices."""
    n_together: int = 8
    """Images whose draws share batches, and that a killed run repeats at most."""
    seed: int = 0

    def __post_init__(self):
        check_positive(self, "n_selection", "n_estimation", "n_quality", "every", "batch_size", "n_together")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha={self.alpha} is no probability of error: choose one between 0 and 1.")
        if not self.sigmas or min(self.sigmas) <= 0 or len(set(self.sigmas)) < len(self.sigmas):
            raise ValueError(f"sigmas={self.sigmas} are not different positive noise levels: give some, such as 0.25.")
        if self.n_images is not None and self.n_images < 1:
            raise ValueError(f"n_images={self.n_images} is less than 1: choose a positive number, or None for all.")
        check_draws(self.stopping, self.n_estimation, self.alpha, max(self.sigmas))

    def check_images(self) -> None:
        """Refuses too few images and ones without labels; at construction a flag may still name others."""
        check_labelled(self.images)
        if self.n_images is not None and self.n_images > len(self.images):
            raise ValueError(
                f"n_images={self.n_images} is more than the {len(self.images)} images of the source: choose fewer, or "
                "None for all."
            )

    @property
    def ids(self) -> list[int]:
        """The images, by their place in the source."""
        return list(range(0, len(self.images), self.every))[: self.n_images]

    @property
    def groups(self) -> list[list[int]]:
        """The images that share batches."""
        return [self.ids[start : start + self.n_together] for start in range(0, len(self.ids), self.n_together)]
