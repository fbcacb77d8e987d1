"""What a config file of `ssni train` builds."""

import dataclasses
from typing import Any, ClassVar, Protocol, runtime_checkable

from flax import nnx

from ssni_jax.core.bounds import bounded, check_bounds
from ssni_jax.core.protocols import StagedLoss, TrainingObjective
from ssni_jax.data import Source
from ssni_jax.data.labels import check_labels
from ssni_jax.experiments.field_types import check_types
from ssni_jax.experiments.selection import check_positive, check_seeds
from ssni_jax.files.names import check_file_name
from ssni_jax.training import Adam, Optimizer


@runtime_checkable
class Architecture(Protocol):
    """The shape of a network; `make` builds it."""

    def make(self, *, rngs: nnx.Rngs) -> nnx.Module: ...


@dataclasses.dataclass(frozen=True)
class Training:
    """One network to train: what `ssni train` reads.

    A network of dtype "bfloat16" computes in it; its parameters, their averages and the optimiser's state are float32.
    """

    SPEED: ClassVar = ("every", "save_every", "pictures_every", "licence")

    name: str
    """File name of the exported network."""
    network: Architecture
    loss: TrainingObjective
    images: Source
    start: Any = None
    """A stored network, Pretrained(...), whose weights training begins with; None for fresh ones."""
    optimizer: Optimizer = Adam()
    batch_size: int = 128
    """Images per step, over all devices."""
    n_steps: int = 10_000
    n_accumulate: int = 1
    """Micro-batches per step, to save memory."""
    ema_decay: float = bounded(0, 1, below=True, default=0.999)
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
        check_types(self)
        check_file_name("name", self.name)
        check_bounds(self)
        check_positive(self, "batch_size", "n_steps", "n_accumulate", "every", "save_every")
        check_seeds(self, "seed")
        if getattr(self.loss, "needs_labels", False):
            check_labels(self.images, ())

    @property
    def GROWS(self) -> tuple[str, ...]:
        """`n_steps`, where neither learning rate nor loss depends on the length of the run."""
        is_constant = getattr(self.optimizer, "decay_to", None) == 1 and not isinstance(self.loss, StagedLoss)
        return ("n_steps",) if is_constant else ()
