"""What a config file of `ssni sweep` builds: evaluations, each with its place in a table of defences and attacks."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ssni_jax.attacks import Attack, Ensemble, Objective
from ssni_jax.attacks.threats import Threat
from ssni_jax.core.protocols import Predict
from ssni_jax.experiments.evaluation import Evaluation
from ssni_jax.experiments.field_types import check_own_types

AttackMaker = Callable[[Any], tuple[Attack | Ensemble, Objective]]  # from the threat, a `Linf` for example


class CellName:
    """The name of a cell: its defence, its attack, and the norm and radius that bound the attack."""

    defense: str
    attack: str
    norm: str
    eps: float | None

    @property
    def budget(self) -> str:
        """The bound in words, such as "Linf 0.15"."""
        return self.norm if self.eps is None else f"{self.norm} {self.eps:g}"

    @property
    def label(self) -> str:
        """Defence, attack and budget."""
        return ", ".join(part for part in (self.defense, self.attack, self.budget) if part)


@dataclasses.dataclass(frozen=True)
class Cell(CellName):
    """One evaluation of a sweep; `defense`, `attack`, `norm` and `eps` say where its number stands, and name it."""

    defense: str
    attack: str
    evaluation: Evaluation
    norm: str = ""
    """What bounds the attack, such as "Linf"; empty for evaluations without an attack."""
    eps: float | None = None
    """The radius, in units of the norm."""
    group: str = ""
    """Attacks of one group, such as those on the noise level, also get a worst case of their own."""
    images_of: str = ""
    """The label of an earlier cell whose adversarial images are judged, for a transfer attack."""

    def __post_init__(self):
        check_own_types(self)
        if self.images_of and self.evaluation.attack is not None:
            raise ValueError(f"{self.label} judges the images of {self.images_of}: set the attack to None.")
        object.__setattr__(self, "evaluation", dataclasses.replace(self.evaluation, name=self.label))

    @property
    def n_images(self) -> int:
        """How many images it evaluates."""
        return len(self.evaluation.ids)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Evaluations that are run one after the other and reported together.

    Image number i has to be the same image in every cell, perhaps corrupted, because the report compares the cells
    image by image; the cells may take different numbers of images.
    """

    name: str
    """The title of the report."""
    cells: tuple[Cell, ...]

    def __post_init__(self):
        check_own_types(self)
        if not self.cells:
            raise ValueError("A sweep needs at least one cell: pass what `across(...)` returns.")
        earlier: dict[str, Cell] = {}
        for cell in self.cells:
            if cell.label in earlier:
                raise ValueError(f"Two cells are called {cell.label!r}: give one of the attacks another name.")
            source = earlier.get(cell.images_of)
            if cell.images_of and (source is None or source.n_images < cell.n_images):
                raise ValueError(
                    f"{cell.label} judges {cell.n_images} images of {cell.images_of!r}, which is no earlier cell with "
                    f"as many: choose from {', '.join(map(repr, earlier)) or 'none'}."
                )
            earlier[cell.label] = cell
        self._check_images()

    def _check_images(self) -> None:
        """Refuses cells whose image i may be another image than that of the first cell."""
        first = self.cells[0]
        for cell in self.cells:
            if _order(cell.evaluation) != _order(first.evaluation):
                raise ValueError(
                    f"{cell.label} and {first.label} take their images from different sources or in different orders: "
                    "give all cells of a sweep the same images and order_seed."
                )

    def only(self, text: str) -> list[Cell]:
        """The cells whose label contains the text, whatever its case, and those whose images they judge."""
        chosen = {cell.label for cell in self.cells if text.lower() in cell.label.lower()}
        if not chosen:
            raise ValueError(f"No cell of {self.name} contains {text!r}; the first one is {self.cells[0].label!r}.")
        for cell in reversed(self.cells):
            chosen |= {cell.images_of} if cell.label in chosen else set()
        return [cell for cell in self.cells if cell.label in chosen]


def across(
    defenses: Mapping[str, Predict],
    attacks: Mapping[str, AttackMaker],
    budgets: Sequence[Threat],
    *,
    group: str = "",
    **fields: Any,
) -> tuple[Cell, ...]:
    """One cell per defence, attack and budget; an attack is a function from the threat to (attack, objective).

    `fields` are those of every `Evaluation`, such as `images` and `n_images`.
    """
    for name, given in (("defenses", defenses), ("attacks", attacks), ("budgets", budgets)):
        if not given:
            raise ValueError(f"{name} is empty: give at least one.")
    return tuple(
        Cell(defense, attack, Evaluation(defense, predict, **_of(make(threat)), **fields), *bound_of(threat), group)
        for defense, predict in defenses.items()
        for attack, make in attacks.items()
        for threat in budgets
    )


def bound_of(threat: Threat) -> tuple[str, float]:
    """The norm and the radius of a threat, as a cell shows them."""
    return type(threat).__name__, float(threat.eps)


def _of(how: tuple[Attack | Ensemble, Objective]) -> dict[str, Any]:
    attack, objective = how
    return {"attack": attack, "objective": objective}


def _order(evaluation: Evaluation) -> tuple[Any, ...]:
    """What decides which image has which number, and which images come first."""
    images = evaluation.images
    return len(images), tuple(images.image_shape), images.n_classes, evaluation.order_seed
