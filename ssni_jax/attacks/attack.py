"""What an attack is: an optimiser with one state per row, driven one iteration at a time."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Int

from ssni_jax.attacks.objective import Objective
from ssni_jax.core.protocols import checks_classes
from ssni_jax.core.types import Images, Keys, Labels, Level


class Attacked(NamedTuple):
    """Where an attack stands, per row: image in [0, 1], its mean loss, share of draws answered wrong, queries made.

    Loss and share are of the image as the attack last evaluated it, which may be the one before its last move.
    """

    image: Images
    loss: Level
    broken: Level
    n_queries: Int[Array, " B"]


@checks_classes("n_iterations", "init", "update", "result")
@runtime_checkable
class Attack(Protocol):
    """An attack on the true labels y, as optax writes an optimiser: row r of the state depends on row r alone.

    `x` are the clean images in [0, 1] throughout; `update` makes iteration i, counted from 0; `result` shows the state
    after any number of iterations. `start` are images within the threat at which the attack begins instead of its own.
    """

    @property
    def n_iterations(self) -> int: ...

    def init(self, keys: Keys, objective: Objective, x: Images, y: Labels, *, start: Images | None = None) -> Any: ...

    def update(self, keys: Keys, i: Any, objective: Objective, state: Any, x: Images, y: Labels) -> Any: ...

    def result(self, state: Any) -> Attacked: ...


def begins_at_clean_images(attack: Attack, start: Images | None) -> None:
    """Refuses a start for an attack whose variables are not the pixels."""
    if start is not None:
        raise ValueError(f"{type(attack).__name__} begins at the clean images: it cannot be a second phase.")
