"""What a config file builds: one frozen value that says everything about a run."""

import dataclasses
from typing import Any, Protocol, runtime_checkable

from flax import nnx

from ssni_jax.attacks import Pgd
from ssni_jax.core.protocols import Attack, Objective
from ssni_jax.data import Source
from ssni_jax.purify import Defense, Exact
from ssni_jax.purify.gradients import Differentiation
from ssni_jax.training import Adam, CrossEntropy, Optimizer


@runtime_checkable
class Architecture(Protocol):
    """The shape of a network; `make` builds it."""

    def make(self, *, rngs: nnx.Rngs) -> nnx.Module: ...


@dataclasses.dataclass(frozen=True)
class Training:
    """One network to train: what `ssni train` reads.

    A network of dtype "bfloat16" computes in it; its parameters, their averages and the optimiser's state are float32.
    """

    name: str
    """File name of the exported network."""
    network: Architecture
    loss: Objective
    images: Source
    start: Any = None
    """A stored network, Pretrained(...), whose weights training begins with; None for fresh ones."""
    optimizer: Optimizer = Adam()
    batch_size: int = 128
    """Images a step, over all devices."""
    n_steps: int = 10_000
    n_accumulate: int = 1
    """Micro-batches a step, to save memory."""
    ema_decay: float = 0.999
    """Decay of the averaged weights, which are the ones exported."""
    seed: int = 0
    every: int = 100
    """Steps between two lines of progress."""
    save_every: int = 1000
    """Steps between two checkpoints."""
    pictures_every: int = 1000
    """Steps between two sheets of pictures that a denoiser in training draws; 0 for none."""
    licence: str = "Apache-2.0"
    """Licence of the exported weights."""

    def __post_init__(self):
        check_positive(self, "batch_size", "n_steps", "n_accumulate", "every", "save_every")
        if isinstance(self.loss, CrossEntropy):
            check_labelled(self.images)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One defence under one attack on one set of images: what `ssni evaluate` reads."""

    name: str
    """How tables and pictures call the defence."""
    defense: Defense
    images: Source
    attack: Attack = Pgd()
    surrogate_steps: int | None = None
    """Solver steps a round of the defence whose gradient the attack takes; None for those of the defence."""
    gradient: Differentiation = Exact()
    """How the attack differentiates that defence; see docs/gradients.md."""
    n_images: int | None = None
    """The first so many images; None for all."""
    batch_size: int = 64
    """Images at a time, over all devices."""
    n_slots: int = 32
    """Rows of one network call of the ragged solver, on each device."""
    n_draws: int = 1
    """Fresh keys under which each adversarial image is judged."""
    n_pictures: int = 6
    """Images whose stages are kept for the report."""
    seed: int = 0

    def __post_init__(self):
        check_positive(self, "batch_size", "n_slots", "n_draws")
        check_labelled(self.images)
        if self.surrogate_steps is not None:
            check_positive(self, "surrogate_steps")
        if self.n_images is not None and not 0 < self.n_images <= len(self.images):
            raise ValueError(
                f"n_images={self.n_images} is not between 1 and the {len(self.images)} images of the source: "
                "choose a number in that range or None for all."
            )


def check_labelled(images: Source) -> None:
    """Refuses a source whose images have no labels."""
    if images.n_classes < 1:
        raise ValueError(f"{images} has no labels: put images into one subfolder a class, or name the array of labels.")


def check_positive(value: object, *names: str) -> None:
    """Refuses counts below one, by name."""
    for name in names:
        if getattr(value, name) < 1:
            raise ValueError(f"{name}={getattr(value, name)} is less than 1: choose a positive number.")
