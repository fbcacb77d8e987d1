"""What the journal holds of an ensemble: which images stand after each attack, and where the strongest images are."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from ssni_jax.journal.formats import percent
from ssni_jax.journal.units import StoredUnit

STAGE = "attack-"  # before the name of the attack, in the stage of a unit


class StageResult(NamedTuple):
    """One image under one attack: the share of wrong draws, the draws evaluated, and the unit that holds the image.

    `is_invalid` says that the attack ended with a loss that is NaN or infinite, which is no success. `iterates` are the
    answers on the iterates that were judged.
    """

    broken: float
    queries: int
    unit: str
    is_invalid: bool
    iterates: tuple[int, ...]

    @classmethod
    def of(cls, record: Mapping[str, Any], unit: str) -> "StageResult":
        """The result in a stage's record."""
        is_invalid, iterates = record["loss"] is None, tuple(record.get("iterates", ()))
        return cls(record["broken"], record["queries"], unit, is_invalid, iterates)


class Stages:
    """The attacks by name, in order, on planned images; an image falls above a share `falls_at` of wrong draws."""

    def __init__(self, names: Sequence[str], falls_at: float, ids: Sequence[int], units: Iterable[StoredUnit]):
        self.names, self.falls_at, self.ids = names, falls_at, ids
        self.results: dict[str, dict[int, StageResult]] = {name: {} for name in names}
        for unit in units:
            name = unit.header["stage"].removeprefix(STAGE)
            if unit.header["stage"].startswith(STAGE):
                if name not in self.results:
                    raise ValueError(f"{unit.path} is damaged (there is no attack {name!r}): delete it and run again.")
                for record in unit.records:
                    self.results[name].setdefault(record["id"], StageResult.of(record, unit.path.stem))

    @cached_property
    def current(self) -> str | None:
        """The first attack that some standing image lacks; None when all are through."""
        return next((name for name in self.names if set(self.standing(name)) - self.recorded(name)), None)

    def standing(self, name: str) -> list[int]:
        """The images that the attack of this name is to run on, in the planned order."""
        before = self.names[: self.names.index(name)]
        return [id for id in self.ids if not any(self._has_fallen(id, earlier) for earlier in before)]

    def recorded(self, name: str) -> set[int]:
        """The images on which the attack of this name has run."""
        return set(self.results[name])

    def strongest(self, ids: Iterable[int]) -> list[str | None]:
        """The unit that holds the image with the largest share of wrong draws, the earliest of equals, of each id.

        None for the clean image, which the first attack looks at.
        """
        results = [max(self._results_of(id), key=lambda pair: pair[1].broken) for id in ids]
        return [None if name == self.names[0] else result.unit for name, result in results]

    def broken(self, ids: Iterable[int]) -> list[float]:
        """The largest share of wrong draws that any attack has left, of each id."""
        return [max((result.broken for _, result in self._results_of(id)), default=0.0) for id in ids]

    def iterates_of(self, id: int) -> dict[str, list[int]]:
        """The answers on the judged iterates of all attacks, in their order; empty where none was judged."""
        labels = [label for _, result in self._results_of(id) for label in result.iterates]
        return {"iterates": labels} if labels else {}

    def table(self) -> list[dict[str, Any]]:
        """For each attack that has run: on how many of the n images, how many stand after it, its draws, and for how
        many images it ended with a loss that is NaN or infinite."""
        rows = []
        for name in self.names:
            ran = [id for id in self.ids if id in self.results[name]]
            if ran:
                standing = len(self.standing(name)) - sum(self._has_fallen(id, name) for id in ran)
                queries = sum(self.results[name][id].queries for id in ran)
                counts = {"n": len(self.ids), "ran": len(ran), "standing": standing, "queries": queries}
                rows.append({"attack": name, **counts, "invalid": sum(self.results[name][id].is_invalid for id in ran)})
        return rows

    def summary(self) -> str:
        """The attack that is running, and what stood after the one before; empty when all are through."""
        if self.current is None:
            return ""
        rows = [row for row in self.table() if row["attack"] != self.current]
        stand = f", {percent(rows[-1]['standing'] / rows[-1]['n'])} stand" if rows else ""
        return f"{self.current}{stand}"

    def _has_fallen(self, id: int, name: str) -> bool:
        result = self.results[name].get(id)
        return result is not None and result.broken > self.falls_at

    def _results_of(self, id: int) -> list[tuple[str, StageResult]]:
        """What each attack that has run on the image did, in order."""
        return [(name, self.results[name][id]) for name in self.names if id in self.results[name]]
