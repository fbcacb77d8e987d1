"""One calibration as it is on disk: the norms measured so far."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ssni_jax.journal.stored import CalibrationRun
from ssni_jax.journal.units import Journal, StoredUnit
from ssni_jax.journal.workdir import read_run


class Calibrated(NamedTuple):
    """One calibration run; `missing` lists the planned images whose norm is not measured yet."""

    path: Path
    name: str
    experiment: dict[str, Any]
    run: dict[str, Any]
    norms: dict[int, float]
    missing: list[int]


def load_calibrated(workdir: Path) -> Calibrated:
    """Everything one workdir of `ssni calibrate` holds."""
    experiment, run = read_run(workdir, CalibrationRun)
    norms = merged_norms(Journal(workdir, experiment["hash"]).units())
    missing = sorted(set(run["ids"]) - set(norms))
    return Calibrated(workdir, str(run["defense"]), experiment, run, norms, missing)


def merged_norms(units: Iterable[StoredUnit]) -> dict[int, float]:
    """The norm of each measured image; NaN where it was not finite."""
    norms: dict[int, float] = {}
    for unit in units:
        for record in unit.records:
            norms.setdefault(record["id"], float("nan") if record["norm"] is None else record["norm"])
    return norms
