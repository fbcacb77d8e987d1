"""One evaluation as it is on disk: its records, merged from the units of every job that worked on it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssni_jax.files.atomic import read_json
from ssni_jax.journal.records import EvaluationRecord, draws_of, joined
from ssni_jax.journal.units import Journal, StoredUnit
from ssni_jax.journal.workdir import read_run

EVALUATED, MORE_DRAWS = "evaluated", "draws"
SANITY = "sanity.json"  # the checks of the attack, where they were asked for


class Evaluated(NamedTuple):
    """One evaluated predictor; `missing` lists the planned images that lack a record or some of the planned draws.

    `curves` are the attack's, one per unit: mean loss and share of wrong draws after every iteration, over `n` images,
    and the share of wrong answers (`answered_wrong`) after the iterations in `judged`.
    `sanity` is what `ssni evaluate --sanity` found out about the attack, None without it.
    """

    path: Path
    name: str
    experiment: dict[str, Any]
    run: dict[str, Any]
    records: list[EvaluationRecord]
    missing: list[int]
    curves: list[dict[str, Any]]
    sanity: dict[str, Any] | None = None


def load_evaluated(workdir: Path) -> Evaluated:
    """Everything that `ssni evaluate` has written into one workdir; images no longer planned are left out."""
    experiment, run = read_run(workdir)
    units = Journal(workdir, experiment["hash"]).units()
    records, planned = merged(units), sorted(set(run["ids"]))
    n_draws = run.get("n_draws", 0)
    missing = [id for id in planned if id not in records or len(draws_of(records[id])) < n_draws]
    curves = [_curve(unit) for unit in units if unit.header["stage"] == EVALUATED and unit.header.get("curve")]
    kept = [records[id] for id in planned if id in records]
    sanity = read_json(workdir / SANITY) if (workdir / SANITY).exists() else None
    return Evaluated(workdir, str(run["defense"]), experiment, run, kept, missing, curves, sanity)


def _curve(unit: StoredUnit) -> dict[str, Any]:
    """The curve of one unit."""
    curve = {**unit.header["curve"], "n": len(unit.records)}
    if not curve.get("judged"):
        return curve
    wrong = [[label != record["label"] for label in record["iterates"]] for record in unit.records]
    return curve | {"answered_wrong": np.mean(wrong, axis=0).tolist()}


def merged(units: Iterable[StoredUnit]) -> dict[int, EvaluationRecord]:
    """The record of each image with all its draws; what two jobs have evaluated counts once."""
    records: dict[int, Any] = {}
    further: dict[tuple[int, int], dict[str, Any]] = {}
    for unit in units:
        for record in unit.records:
            if unit.header["stage"] == EVALUATED:
                records.setdefault(record["id"], record)
            elif unit.header["stage"].startswith(MORE_DRAWS):
                further.setdefault((record["id"], record["first"]), record)
    for id, first in sorted(further):
        if id in records and len(draws_of(records[id])) == first:
            records[id] = joined(records[id], further[id, first])
    return records
