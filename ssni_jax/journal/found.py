"""What a directory holds: evaluations, certifications and trainings."""

from pathlib import Path
from typing import Any, NamedTuple

from ssni_jax.journal.certification import Certified, load_certified
from ssni_jax.journal.training import Trained, load_trained
from ssni_jax.journal.workdir import Results, kind_of, load_all, workdirs


class Found(NamedTuple):
    """The runs of one workdir, or of every workdir right below a parent, by kind, in the order of their directories."""

    evaluations: list[Results]
    certifications: list[Certified]
    trainings: list[Trained]


def find(path: str | Path) -> Found:
    """Everything in `path`; raises when there is nothing."""
    kinds = {workdir: kind_of(workdir) for workdir in workdirs(path)}
    if not kinds:
        raise FileNotFoundError(
            f"{path} holds no evaluation, certification or training; pass the --workdir of an `ssni evaluate`,"
            " `ssni certify` or `ssni train`, or its parent."
        )
    return Found(
        load_all(path) if "evaluation" in kinds.values() else [],
        _told_apart([load_certified(workdir) for workdir, kind in kinds.items() if kind == "certification"]),
        _told_apart([load_trained(workdir) for workdir, kind in kinds.items() if kind == "training"]),
    )


def _told_apart(runs: list[Any]) -> list[Any]:
    """Runs of equal names, of a sweep over seeds for example, get their directory's name added."""
    names = [run.name for run in runs]
    return [run._replace(name=f"{run.name} ({run.path.name})") if names.count(run.name) > 1 else run for run in runs]
