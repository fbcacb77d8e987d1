"""One training as it is on disk: the experiment, the metrics so far and the newest pictures."""

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from ssni_jax.files.checked import read_checked
from ssni_jax.files.metrics import read_metrics
from ssni_jax.journal.stored import TrainingRun
from ssni_jax.journal.workdir import read_experiment

PICTURE = re.compile(r"step-(\d+)-(.+)\.png")


class Trained(NamedTuple):
    """One training run; `metrics` are the lines of its metrics file, `pictures` the newest of each kind with its step.

    `command` resumes it, and `is_exported` says whether its network was written.
    """

    path: Path
    name: str
    experiment: dict[str, Any]
    command: str
    metrics: list[dict[str, Any]]
    pictures: dict[str, tuple[int, Path]]
    is_exported: bool

    @property
    def step(self) -> int:
        """The last step whose metrics were written; 0 before the first."""
        return int(self.metrics[-1]["step"]) if self.metrics else 0

    @property
    def n_steps(self) -> int:
        return int(self.experiment.get("n_steps", 0))

    @property
    def missing(self) -> range:
        """The remaining steps; at least the last one until the network is written."""
        is_complete = self.is_exported and self.step >= self.n_steps
        return range(0) if is_complete else range(min(self.step, self.n_steps - 1) + 1, self.n_steps + 1)


def load_trained(workdir: Path) -> Trained:
    """Everything that `ssni train` has written into one workdir."""
    stored = workdir / "run.json"
    run = read_checked(stored, TrainingRun) if stored.exists() else {}
    experiment = read_experiment(workdir / "experiment.json") | {key: run[key] for key in ("n_steps",) if key in run}
    name = str(experiment.get("name", workdir.resolve().name))
    return Trained(
        workdir,
        name,
        experiment,
        run.get("command") or f"ssni train CONFIG --workdir {workdir}",
        read_metrics(workdir / "checkpoints" / "metrics.jsonl"),
        newest_pictures(workdir / "pictures"),
        (workdir / f"{name}.safetensors").exists(),
    )


def newest_pictures(folder: Path) -> dict[str, tuple[int, Path]]:
    """The picture of the highest step of each kind, step-000500-denoised.png being of kind "denoised"."""
    newest: dict[str, tuple[int, Path]] = {}
    for path in sorted(folder.glob("step-*.png")):
        match = PICTURE.fullmatch(path.name)
        if match and int(match[1]) >= newest.get(match[2], (-1, path))[0]:
            newest[match[2]] = int(match[1]), path
    return newest


def steps_per_second(metrics: list[dict[str, Any]]) -> float | None:
    """Speed between the last two lines, where one process wrote both; else None."""
    if len(metrics) < 2:
        return None
    before, last = metrics[-2:]
    seconds = last["seconds"] - before["seconds"]  # a resumed process counts from zero again
    return (last["step"] - before["step"]) / seconds if seconds > 0 else None


def is_number(value: Any) -> bool:
    """Whether a metric can be drawn."""
    return isinstance(value, int | float) and math.isfinite(value)
