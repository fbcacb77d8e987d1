"""The journal: one file per unit of work, a header line and one line per record, in JSON.

Object stores cannot append, and several jobs may share a workdir: a file is created once and never changed.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ssni_jax.core.annotations import Misfit, misfit
from ssni_jax.files.atomic import create_bytes, parse_json, plain
from ssni_jax.files.checked import is_sealed, sealed
from ssni_jax.journal.records import STAGES
from ssni_jax.journal.stored import Header

FOLDER = "units"
RECORDS = "records"  # in what the digest of a unit is of
FIRST_RELEASE = "records-*.jsonl"


class StoredUnit(NamedTuple):
    """One unit as it is on disk: its file, its header and its records."""

    path: Path
    header: dict[str, Any]
    records: list[dict[str, Any]]


class Journal:
    """The units of one workdir, all of one experiment; files never change, so each is read once."""

    def __init__(self, workdir: Path, identity: str):
        self.folder, self.identity = workdir / FOLDER, identity
        self.workdir = workdir
        self._known: dict[Path, StoredUnit] = {}

    def units(self) -> list[StoredUnit]:
        """All units in the order of their names; a unit of another experiment is refused by name."""
        for path in sorted(self.folder.glob("*.jsonl")):
            if path not in self._known:
                self._known[path] = checked(read_unit(path), self.identity)
        return [self._known[path] for path in sorted(self._known)]

    def write(self, name: str, header: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> bool:
        """Creates units/<name>.jsonl as a whole, on disk when this returns; False where another job has created it."""
        head = {"unit": name, "n_records": len(records), **header}
        lines = [plain({**line, "experiment": self.identity}) for line in (head, *records)]
        lines[0] = sealed({**lines[0], RECORDS: lines[1:]})
        del lines[0][RECORDS]
        content = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
        return create_bytes(self.folder / f"{name}.jsonl", content.encode())


def has_units(workdir: Path) -> bool:
    """Whether anything was recorded in the workdir."""
    return any((workdir / FOLDER).glob("*.jsonl"))


def checked(unit: StoredUnit, identity: str) -> StoredUnit:
    """The unit, refused by name if its header or a record belongs to another experiment."""
    for line in (unit.header, *unit.records):
        if line.get("experiment") != identity:
            raise ValueError(
                f"{unit.path} belongs to experiment {line.get('experiment')}, but this workdir is of {identity}: "
                "move the file away, or pass another --workdir."
            )
    return unit


def read_unit(path: Path) -> StoredUnit:
    """One unit; a damaged one is refused by name."""
    try:
        lines = [parse_json(line) for line in path.read_bytes().splitlines()]
    except (ValueError, RecursionError):
        raise ValueError(_damaged(path)) from None
    if not lines or not all(isinstance(line, dict) for line in lines):
        raise ValueError(_damaged(path))
    unit = StoredUnit(path, lines[0], lines[1:])
    if unit.header.get("n_records") != len(unit.records):
        raise ValueError(_damaged(path))
    if not is_sealed({**unit.header, RECORDS: unit.records}):
        raise ValueError(_damaged(path, " (it was changed after it was written)"))
    wrong = misfit(unit.header, Header, "") or _misfit_of_records(unit)
    if wrong is not None:
        raise ValueError(_damaged(path, f" ({wrong})"))
    return unit


def _misfit_of_records(unit: StoredUnit) -> Misfit | None:
    """The first entry of a record that is not what the stage of the unit keeps."""
    stage = unit.header.get("stage", "")
    kind = next((kind for name, kind in STAGES.items() if stage.startswith(name)), None)
    if kind is None:
        return Misfit("stage", Literal[tuple(STAGES)], stage)
    lines = ((record, kind, f"line {number}") for number, record in enumerate(unit.records, start=2))
    return next((wrong for line in lines if (wrong := misfit(*line))), None)


def _damaged(path: Path, where: str = "") -> str:
    return f"{path} is damaged{where}: delete the file and run the same command again to repeat its images."
