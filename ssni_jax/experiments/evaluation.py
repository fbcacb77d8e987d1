"""What a config file of `ssni evaluate` builds."""

import dataclasses
from typing import ClassVar, Literal

from ssni_jax.attacks import Attack, Ensemble, Objective, Pgd
from ssni_jax.core.protocols import Predict
from ssni_jax.data import Source
from ssni_jax.experiments.automatic import AUTO, Automatic
from ssni_jax.experiments.field_types import check_types
from ssni_jax.experiments.selection import check_oracle, check_positive, check_seeds, chosen_ids

Precision = Literal["default", "high", "highest"]
KeptImages = Literal["float32", "uint8"]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One predictor under one attack on one set of images: what `ssni evaluate` reads."""

    GROWS: ClassVar = ("n_images", "n_draws")

    name: str
    """How tables and pictures call the predictor."""
    defense: Predict
    """The predictor: a Defense, a Vote, `predictor(classifier)`, or any pytree with the methods of Predict."""
    images: Source
    attack: Attack | Ensemble | None = Pgd()
    """The attack, or several such as `autoattack(Linf(8 / 255))`; None evaluates clean accuracy alone."""
    objective: Objective = Objective()
    """What the attack raises: the loss, the number of draws per gradient, and how to differentiate."""
    adversarial: Source | None = None
    """Images to judge instead of attacking, row i of image i of `images`: what `ssni judge` fills in."""
    n_images: int | None = None
    """Evaluate only the first n images of a random order; None for all."""
    order_seed: int | None = 0
    """Seed of that order; None keeps the order of the source."""
    n_draws: int = 1
    """Fresh draws under which each adversarial image is judged; a Vote of K makes K draws per prediction."""
    judge_every: int | None = None
    """Also judge the attack's image after every k iterations, each time under one fresh key; None judges the result
    alone."""
    batch_size: Automatic = 64
    """Images at a time, over all devices; "auto" for as many as fit into the devices' memory, up to 64 on each."""
    n_slots: Automatic = 32
    """Rows of one network call of the ragged solver, on each device; "auto" for 32, or the rows of the batch."""
    keep_images: KeptImages = "float32"
    """Keep adversarial images exactly, or in a quarter of the space as 8-bit images, which are then what is judged."""
    n_pictures: int = 6
    """Images whose stages are kept for the report."""
    seed: int = 0
    matmul_precision: Precision = "default"
    """Precision of matrix products: on GPUs "default" may be TF32, on TPUs bfloat16; "highest" is float32."""

    def __post_init__(self):
        check_types(self)
        given = [name for name in ("batch_size", "n_slots") if getattr(self, name) != AUTO]
        check_positive(self, *given, "n_draws")
        if self.batch_size == AUTO and "batch_size" not in self.SPEED:
            raise ValueError("batch_size must be a number here, because a noise level looks at its batch: give one.")
        check_seeds(self, "seed", "order_seed")
        check_oracle(self.name, self.defense)
        if self.judge_every is not None:
            check_positive(self, "judge_every")
        if self.keep_images not in ("float32", "uint8"):
            raise ValueError(f'keep_images must be "float32" or "uint8", got {self.keep_images!r}.')
        if self.n_images is not None and self.n_images < 1:
            raise ValueError(f"n_images must be at least 1, or None for all, got {self.n_images}.")

    @property
    def SPEED(self) -> tuple[str, ...]:
        """Fields that change no result; the batch size is one unless a noise level looks at its batch."""
        levels = [round.level for purify in getattr(self.defense, "purifiers", ()) for round in purify.rounds]
        sees_batch = any(getattr(level, "sees_batch", False) for level in levels)
        return ("name", "n_slots", "n_pictures", *(() if sees_batch else ("batch_size",)))

    @property
    def ids(self) -> list[int]:
        """The images to evaluate, by their place in the source."""
        return chosen_ids(len(self.images), self.n_images, self.order_seed)
