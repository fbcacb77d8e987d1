"""One evaluation as it is on disk: its records, merged from the units of every job that worked on it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssni_jax.data.source import as_float
from ssni_jax.files.atomic import REMEDY, read_arrays
from ssni_jax.files.checked import read_checked
from ssni_jax.journal.records import EvaluationRecord, draws_of, joined
from ssni_jax.journal.stored import EvaluationRun, SanityFile
from ssni_jax.journal.units import Journal, StoredUnit
from ssni_jax.journal.workdir import read_run

EVALUATED, MORE_DRAWS = "evaluated", "draws"
RESTORE = "restore it, or evaluate into a new --workdir"
SANITY = "sanity.json"  # the checks of the attack, where they were asked for


class Evaluated(NamedTuple):
    """One evaluated predictor; `missing` lists the planned images that lack a record or some of the planned draws.

    `curves` are the attack's, one per unit: mean loss and share of wrong draws after every iteration, over `n` images,
    and the share of wrong answers (`answered_wrong`) after the iterations in `judged`.
    `attack_seconds` is the wall time of the attack per image, without compilation, None without an attack.
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
    attack_seconds: float | None = None


def load_evaluated(workdir: Path, ids: Sequence[int] | None = None) -> Evaluated:
    """What `ssni evaluate` has written into one workdir about the images `ids`, by default those it was to evaluate."""
    experiment, run = read_run(workdir, EvaluationRun)
    units = Journal(workdir, experiment["hash"]).units()
    _check_curves(workdir, run)
    records, planned = merged(units), sorted(set(run["ids"] if ids is None else ids))
    n_draws = run.get("n_draws", 0)
    missing = lacking(planned, n_draws, records)
    curves = [_curve(unit) for unit in units if unit.header["stage"] == EVALUATED and unit.header.get("curve")]
    kept = [records[id] for id in planned if id in records]
    sanity = read_checked(workdir / SANITY, SanityFile) if (workdir / SANITY).exists() else None
    seconds = seconds_per_image(units)
    return Evaluated(workdir, str(run["defense"]), experiment, run, kept, missing, curves, sanity, seconds)


def lacking(ids: Iterable[int], n_draws: int, records: Mapping[int, EvaluationRecord]) -> list[int]:
    """The images without a record, or with fewer draws than planned."""
    return [id for id in ids if id not in records or len(draws_of(records[id])) < n_draws]


def seconds_per_image(units: Sequence[StoredUnit]) -> float | None:
    """Wall time of the attack over all units, those of an ensemble's attacks included, per image that was judged."""
    seconds = [unit.header["attack_seconds"] for unit in units if unit.header.get("attack_seconds") is not None]
    n_judged = sum(len(unit.records) for unit in units if unit.header["stage"] == EVALUATED)
    return sum(seconds) / n_judged if seconds and n_judged else None


def _check_curves(workdir: Path, run: dict[str, Any]) -> None:
    """Refuses a run.json whose curves have more points on one axis than on the other."""
    for curve in run.get("level_curves", []):
        if len(curve["norm"]) != len(curve["t"]):
            raise ValueError(f"{workdir / 'run.json'} is damaged (a level curve lacks points): {REMEDY}.")


def _curve(unit: StoredUnit) -> dict[str, Any]:
    """The curve of one unit."""
    curve = {**unit.header["curve"], "n": len(unit.records)}
    if not curve.get("judged"):
        return curve
    wrong = [[label != record["label"] for label in record.get("iterates", [])] for record in unit.records]
    if {len(answers) for answers in wrong} != {len(curve["judged"])}:
        raise ValueError(f"{unit.path} is damaged (a record lacks iterates): delete it and run the command again.")
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


def saved_images(workdir: Path, ids: np.ndarray) -> np.ndarray:
    """The adversarial images of earlier units, in the order of `ids`."""
    images: dict[int, np.ndarray] = {}
    for path in sorted((workdir / "adversarial").glob("*.npz")):
        stored = read_arrays(path, RESTORE)
        if not {"id", "image"} <= stored.keys():
            raise ValueError(f"{path} lacks the arrays id and image: {RESTORE}.")
        wanted = np.isin(stored["id"], ids)
        if wanted.any():
            images.update(zip(stored["id"][wanted].tolist(), as_float(stored["image"][wanted]), strict=True))
    lacking = sorted(set(ids.tolist()) - set(images))
    if lacking:
        raise FileNotFoundError(
            f"{workdir}/adversarial lacks the adversarial image {lacking[0]}, which further draws need: {RESTORE}."
        )
    return np.stack([images[id] for id in ids.tolist()])
