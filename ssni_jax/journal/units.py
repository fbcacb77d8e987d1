"""The journal: one file per unit of work, a header line and one line per record, in JSON.

Object stores cannot append, and several jobs may share a workdir: a file is created once and never changed.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ssni_jax.files.atomic import create_bytes, plain

FOLDER = "units"
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
        header, *records = [json.loads(line) for line in path.read_bytes().splitlines()]
        if header["n_records"] == len(records) and all(isinstance(record, dict) for record in records):
            return StoredUnit(path, header, records)
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{path} is damaged: delete the file and run the same command again to repeat its images.")
