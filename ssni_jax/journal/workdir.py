"""The directory of one run: its experiment, what is planned, and what kind of run it is."""

import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax

from ssni_jax import __version__
from ssni_jax.files.atomic import read_json, write_json
from ssni_jax.journal.identity import FORMAT, first_difference, shown
from ssni_jax.journal.units import FIRST_RELEASE, has_units


def open_workdir(path: Path, identity: Mapping[str, Any]) -> None:
    """Creates the workdir of an experiment, or checks that it already is the workdir of this experiment.

    Refused are the workdir of another experiment, naming the first difference, a workdir of the first release, and one
    that has records but no experiment.json.
    """
    file = path / "experiment.json"
    if file.exists():
        _check_same(path, read_json(file), identity)
    elif any(path.glob(FIRST_RELEASE)):
        raise ValueError(_first_release(path))
    elif has_units(path):
        raise ValueError(f"{file} is missing, but records exist: restore the file, or pass another --workdir.")
    else:
        write_json(file, identity)


def write_run(workdir: Path, ids: Iterable[int], command: str, **facts: Any) -> None:
    """Writes run.json: the planned images, the command that resumes or repeats the run, and other facts.

    Facts are versions, devices, seeds and such, which the report shows as they are; `kind` and `defense` name the run,
    `level_curves` are drawn, and `attack` and `gradient` are shown below the table.
    """
    write_json(workdir / "run.json", {"ids": [int(id) for id in ids], "command": command, **facts})


def run_facts(kind: str, experiment: Any) -> dict[str, Any]:
    """The versions, devices, data and seed that the numbers of a run depend on."""
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
    }


def read_run(workdir: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The contents of experiment.json and run.json."""
    for name in ("experiment.json", "run.json"):
        if not (workdir / name).exists():
            raise FileNotFoundError(f"{workdir} has no {name}: pass the --workdir of a run that has begun.")
    experiment = read_json(workdir / "experiment.json")
    if experiment.get("format") != FORMAT:
        raise ValueError(_first_release(workdir))
    return experiment, read_json(workdir / "run.json")


def workdirs(path: str | Path) -> list[Path]:
    """The workdir itself, or every workdir directly below a parent, in the order of their names."""
    path = Path(path)
    own = (path / "experiment.json").exists()
    return [path] if own else sorted(stored.parent for stored in path.glob("*/experiment.json"))


def kind_of(workdir: Path) -> str:
    """The kind of a workdir: "evaluation", "certification", "training" or "calibration"."""
    run = workdir / "run.json"
    if run.exists() and "kind" in (facts := read_json(run)):
        return str(facts["kind"])
    kinds = {"Training": "training", "Certification": "certification", "ReferenceNorms": "calibration"}
    return kinds.get(str(read_json(workdir / "experiment.json").get("kind", "")).rsplit(".", 1)[-1], "evaluation")


def _check_same(path: Path, stored: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    if stored.get("format") != FORMAT:
        raise ValueError(_first_release(path))
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
