"""The directory of one run: its experiment, what is planned, and what kind of run it is."""

import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax

from ssni_jax import __version__
from ssni_jax.files.atomic import REMEDY, create_json, read_json
from ssni_jax.files.checked import read_checked, write_sealed
from ssni_jax.files.remote import as_path
from ssni_jax.journal.identity import FORMAT, digest_of, first_difference, shown
from ssni_jax.journal.stored import RESTORE, ExperimentFile, Run, TrainingRun
from ssni_jax.journal.units import FIRST_RELEASE, has_units

KINDS = {
    "Evaluation": "evaluation",
    "Certification": "certification",
    "Training": "training",
    "ReferenceNorms": "calibration",
}
"""The kinds of workdirs, by the classes of their experiments."""


def open_workdir(path: Path, identity: Mapping[str, Any]) -> None:
    """Creates the workdir of an experiment, or checks that it already is the workdir of this experiment.

    Refused are the workdir of another experiment, naming the first difference, a workdir of the first release, and one
    that has records but no experiment.json.
    """
    file = path / "experiment.json"
    if file.exists():
        _check_same(path, read_experiment(file), identity)
    elif any(path.glob(FIRST_RELEASE)):
        raise ValueError(_first_release(path))
    elif has_units(path):
        raise ValueError(f"{file} is missing, but records exist: restore the file, or pass another --workdir.")
    elif not create_json(file, identity):  # another process of its own has been first
        _check_same(path, read_experiment(file), identity)


def write_run(workdir: Path, ids: Iterable[int], command: str, **facts: Any) -> None:
    """Writes run.json: the planned images, the command that resumes or repeats the run, and other facts.

    Facts are versions, devices, seeds and such, which the report shows as they are; `kind` and `defense` name the run,
    `level_curves` are drawn, and `attack` and `gradient` are shown below the table.
    """
    write_sealed(workdir / "run.json", {"ids": [int(id) for id in ids], "command": command, **facts})


def run_facts(kind: str, experiment: Any) -> dict[str, Any]:
    """The versions, devices, data and seed that the numbers of a run depend on."""
    class_map = getattr(experiment.images, "class_map", None)
    return {
        "kind": kind,
        "defense": experiment.name,
        "version": __version__,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "devices": [device.device_kind for device in jax.devices()],
        "data": experiment.images.fingerprint,
        "seed": experiment.seed,
        "matmul_precision": experiment.matmul_precision,
        **({"class_map": dict(class_map)} if class_map else {}),
    }


def read_run(workdir: Path, kind: Any = Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """The contents of experiment.json and run.json, which must be what `kind` says."""
    for name in ("experiment.json", "run.json"):
        if not (workdir / name).exists():
            raise FileNotFoundError(f"{workdir} has no {name}: pass the --workdir of a run that has begun.")
    experiment = read_experiment(workdir / "experiment.json")
    return experiment, read_checked(workdir / "run.json", kind)


def read_experiment(file: Path) -> dict[str, Any]:
    """The content of experiment.json, refused where it was changed since it was written."""
    experiment = read_json(file, RESTORE)
    if isinstance(experiment, dict) and experiment.get("format") != FORMAT:
        raise ValueError(_first_release(file.parent))
    experiment = read_checked(file, ExperimentFile, RESTORE)
    if digest_of({name: value for name, value in experiment.items() if name != "hash"}) != experiment["hash"]:
        raise ValueError(f"{file} was changed after it was written, and its hash no longer fits: {RESTORE}.")
    return experiment


def workdirs(path: str | Path) -> list[Path]:
    """The workdir itself, or every workdir directly below a parent, in the order of their names."""
    path = as_path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"There is no directory {path}: check the path.")
    own = (path / "experiment.json").exists()
    return [path] if own else sorted(stored.parent for stored in path.glob("*/experiment.json"))


def kind_of(workdir: Path) -> str:
    """The kind of a workdir, one of `KINDS`."""
    run = workdir / "run.json"
    facts = read_checked(run, TrainingRun) if run.exists() else {}
    if "kind" not in facts:
        named = str(read_experiment(workdir / "experiment.json").get("kind", "")).rsplit(".", 1)[-1]
        return KINDS.get(named, "evaluation")
    if facts["kind"] not in KINDS.values():
        raise ValueError(
            f"{run} is damaged (its kind is {facts['kind']!r}, none of {', '.join(KINDS.values())}): {REMEDY}."
        )
    return str(facts["kind"])


def _check_same(path: Path, stored: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    before, now = ({name: value for name, value in side.items() if name != "hash"} for side in (stored, identity))
    difference = first_difference(before, now)
    if difference is not None:
        key, before, now = difference
        raise ValueError(
            f"{path} was made with {key} = {shown(before)}, not {shown(now)}:"
            " pass another --workdir, or the old value to resume."
        )


def _first_release(path: Path) -> str:
    return (
        f"{path} was made by an earlier release, whose records do not name their data and networks: "
        "pass a new --workdir."
    )
