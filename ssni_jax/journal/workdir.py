"""The directory of one evaluated defence: what was asked, what ran, what was found."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ssni_jax.files.atomic import plain, read_json, write_json
from ssni_jax.journal.records import Record, merge_records, missing_ids


class Results(NamedTuple):
    """One evaluated defence as found on disk; `missing` are planned images that have no record yet."""

    path: Path
    defense: str
    experiment: dict[str, Any]
    run: dict[str, Any]
    records: list[Record]
    missing: list[int]


def open_workdir(path: str | Path, experiment: Mapping[str, Any]) -> Path:
    """Makes the directory of a resolved experiment, or checks that it is of the very same one and can be resumed."""
    path, wanted = Path(path), plain(experiment)
    stored = path / "experiment.json"
    if not stored.exists():
        write_json(stored, wanted)
        return path
    difference = first_difference(read_json(stored), wanted)
    if difference is not None:
        key, there, here = difference
        raise ValueError(
            f"{path} was made with {key} = {_shown(there)}, not {_shown(here)};"
            " pass another --workdir, or the old value to resume."
        )
    return path


def write_run(workdir: Path, ids: Iterable[int], command: str, **facts: Any) -> None:
    """run.json: the planned images, the command that resumes or repeats the run, the config hash, and other facts.

    Facts are version, JAX version, devices, seeds, network hashes and such, shown in the report as they are; two have
    a meaning: `defense` names the row, and `level_curve` = {"norm": [...], "t": [...]}, t averaged over rounds, is
    drawn. `attack` and `gradient` stand below the table.
    """
    experiment = read_json(workdir / "experiment.json")
    known = {"ids": sorted(int(id) for id in ids), "command": command, "config_hash": config_hash(experiment)}
    write_json(workdir / "run.json", known | facts)


def load_results(workdir: Path) -> Results:
    """Everything one workdir holds; raises when it lacks experiment.json or run.json, or its records contradict."""
    for name in ("experiment.json", "run.json"):
        if not (workdir / name).exists():
            raise FileNotFoundError(f"{workdir} has no {name}; pass the --workdir of a begun `ssni evaluate`.")
    experiment, run = read_json(workdir / "experiment.json"), read_json(workdir / "run.json")
    records = merge_records(workdir)
    defense = str(run.get("defense", workdir.resolve().name))
    return Results(workdir, defense, experiment, run, records, missing_ids(run["ids"], records))


def load_all(path: str | Path) -> list[Results]:
    """The evaluation of one workdir, or of every such workdir right below a parent, in the order of their names."""
    found = [workdir for workdir in workdirs(path) if kind_of(workdir) == "evaluation"]
    if not found:
        raise FileNotFoundError(f"{path} holds no evaluation; pass the --workdir of an `ssni evaluate`, or its parent.")
    return _distinct([load_results(workdir) for workdir in found])


def workdirs(path: str | Path) -> list[Path]:
    """The workdir itself, or every one right below a parent, in the order of their names."""
    path = Path(path)
    own = (path / "experiment.json").exists()
    return [path] if own else sorted(stored.parent for stored in path.glob("*/experiment.json"))


def kind_of(workdir: Path) -> str:
    """What it is about: "training" by its experiment, "evaluation" or "certification" by its run.json."""
    if read_json(workdir / "experiment.json").get("kind") == "Training":
        return "training"
    run = workdir / "run.json"
    return str(read_json(run).get("kind", "evaluation")) if run.exists() else "evaluation"


def config_hash(experiment: Mapping[str, Any]) -> str:
    """sha256 of the resolved experiment, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(plain(experiment), sort_keys=True).encode()).hexdigest()


def first_difference(there: Any, here: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The dotted name of the first entry that differs between two plain values, with both sides; None where equal."""
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        there, here = dict(enumerate(there)), dict(enumerate(here))
    if not (isinstance(there, dict) and isinstance(here, dict)):
        return None if there == here else (key or "the experiment", there, here)
    for name in [*here, *(name for name in there if name not in here)]:
        inner = f"{key}.{name}" if key else str(name)
        found = first_difference(there.get(name, _ABSENT), here.get(name, _ABSENT), inner)
        if found is not None:
            return found
    return None


def _distinct(results: list[Results]) -> list[Results]:
    """Equal names, of a sweep over seeds for example, get their directory's name added."""
    names = [each.defense for each in results]
    return [
        each._replace(defense=f"{each.defense} ({each.path.name})") if names.count(each.defense) > 1 else each
        for each in results
    ]


_ABSENT = object()


def _shown(value: Any) -> str:
    return "nothing" if value is _ABSENT else json.dumps(value)
