"""The metrics of a training: one JSON object per line, which grows while it runs."""

import contextlib
from pathlib import Path
from typing import Any, TypedDict

from ssni_jax.core.annotations import misfit
from ssni_jax.files.atomic import parse_json


class Line(TypedDict):
    """One line of a metrics file; its other entries are the metrics, which may be NaN."""

    step: int
    seconds: float


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file, without a last one that was cut short; empty where there is no file yet."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [_metrics(path, number, line) for number, line in enumerate(lines, start=1) if line.endswith(b"\n")]


def _metrics(path: Path, number: int, line: bytes) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        metrics = parse_json(line, is_finite=False)
        if misfit(metrics, Line, "") is None and misfit(metrics, dict[str, float], "") is None:
            return metrics
    raise ValueError(f"{path} is damaged in line {number}: delete that line.")
