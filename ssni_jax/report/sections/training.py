"""What the report says about trainings: how far, the curves, and the newest pictures."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssni_jax.journal.training import Trained, steps_per_second
from ssni_jax.report.figures.curves import curve, metric_names


def trained_section(trainings: Sequence[Trained]) -> list[dict[str, Any]]:
    """Content of the section, one entry per training."""
    return [_entry(training) for training in trainings]


def _entry(training: Trained) -> dict[str, Any]:
    last, speed = training.metrics[-1] if training.metrics else {}, steps_per_second(training.metrics)
    return {
        "name": training.name,
        "step": training.step,
        "n_steps": training.n_steps,
        "loss": last.get("loss"),
        "gradient_norm": last.get("gradient_norm"),
        "images_per_second": speed and speed * training.experiment.get("batch_size", 0),
        "is_exported": training.is_exported,
        "figures": [curve(training.metrics, name) for name in metric_names(training.metrics)],
        "pictures": [_picture(kind, step, path) for kind, (step, path) in training.pictures.items()],
    }


def _picture(kind: str, step: int, path: Path) -> dict[str, Any]:
    source = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    return {"kind": kind.replace("_", " ").replace("-", " "), "step": step, "source": source}
