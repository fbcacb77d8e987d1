"""The row of numbers of one evaluated predictor."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ssni_jax.evals.statistics import Scores, interval, wilson
from ssni_jax.journal.judgements import JUDGEMENTS, Judgement, submissions
from ssni_jax.journal.records import EvaluationRecord, draws_of

QUANTILES = (0.05, 0.5, 0.95)
ENOUGH_TO_TELL = 10  # images, all wrong, are no accident
Records = Sequence[EvaluationRecord]


def summarise(name: str, records: Records) -> dict[str, Any]:
    """The row of one predictor; accuracies are shares of the images, and an invalid prediction counts as wrong.

    For every judgement x there are `x`, its interval `x_ci`, and `x_invalid`, the images with an invalid prediction.
    `mean_t`, `nfe_per_image` and `seconds_per_image` are of clean images, t averaged over rounds. Whatever no image has
    is None; without an attack that is every number about adversarial images.
    """
    return {
        "defense": name,
        "n": len(records),
        "n_draws": n_draws(records),
        **{key: value for name in JUDGEMENTS for key, value in judged(name, JUDGEMENTS[name], records).items()},
        "resubmission": resubmission(records),
        "n_attacked": len(attacked(records)),
        "n_invalid": JUDGEMENTS["clean"].n_invalid(records),
        "n_invalid_adversarial": JUDGEMENTS["robust"].n_invalid(records),
        "mean_t": mean_of(mean_t(record["clean_t"]) for record in records),
        "mean_t_adversarial": mean_of(mean_t(record.get("adversarial_t")) for record in records),
        "nfe_per_image": mean_of(record["clean_nfe"] for record in records),
        "nfe_per_adversarial_image": mean_of(record.get("adversarial_nfe") for record in records),
        "seconds_per_image": mean_of(record["seconds"] for record in records),
        "t_quantiles": _quantiles(mean_t(record["clean_t"]) for record in records),
        "t_quantiles_adversarial": _quantiles(mean_t(record.get("adversarial_t")) for record in records),
        "norm_quantiles": _quantiles(record["clean_norm"] for record in records),
        "norm_quantiles_adversarial": _quantiles(record.get("adversarial_norm") for record in records),
        "linf_max": max(known(record.get("linf") for record in records), default=None),
        "l2_mean": mean_of(record.get("l2") for record in records),
    }


def no_match(row: dict[str, Any]) -> str | None:
    """What to suspect of an evaluation in which every clean image is predicted wrongly; None of any other."""
    if row["n"] < ENOUGH_TO_TELL or row["clean"] != 0:
        return None
    return (
        f"No prediction of {row['n']} clean images matches its label: compare the order of the labels, and the mean, "
        "standard deviation and size of the preprocessing, with what the classifier was trained on."
    )


def resubmission(records: Records) -> list[dict[str, Any]]:
    """Accuracy against m = 1, 2, ... submissions of one image, with intervals; empty without an attack."""
    lengths = [len(draws_of(record)) for record in attacked(records)]
    curve = []
    for m in range(1, min(lengths, default=0) + 1):
        scores = submissions(m).scores(records)
        curve.append({"m": m, **proportion("accuracy", scores, m < max(lengths))})
    return curve


def attacked(records: Records) -> list[EvaluationRecord]:
    """The records that have an adversarial image."""
    return [record for record in records if draws_of(record)]


def n_draws(records: Records) -> int:
    """The most fresh draws that any image has; 0 without an attack."""
    return max((len(draws_of(record)) for record in records), default=0)


def mean_t(t: Sequence[float | None] | None) -> float | None:
    """Noise level of one image averaged over rounds; None where the method has none, or it was NaN."""
    levels = known(t or [])
    return float(np.mean(levels)) if levels else None


def known(values: Iterable[float | None]) -> list[float]:
    """The values that were measured and are numbers."""
    return [value for value in values if value is not None and np.isfinite(value)]


def judged(name: str, judgement: Judgement, records: Records) -> dict[str, Any]:
    """The accuracy, its interval, and the number of images with an invalid prediction."""
    numbers = proportion(name, judgement.scores(records), judgement.averages(records))
    return numbers | {f"{name}_invalid": judgement.n_invalid(records)}


def proportion(name: str, scores: Scores, is_fractional: bool = False) -> dict[str, Any]:
    """Mean and interval: exact for a count, Wilson's where several draws per image are averaged."""
    n, total = len(scores), float(np.sum(scores))
    ends = wilson(total, n) if is_fractional else interval(round(total), n)
    return {name: total / n if n else None, f"{name}_ci": [ends.low, ends.high]}


def mean_of(values: Iterable[float | None]) -> float | None:
    """The mean of the values that were measured; None where none was."""
    numbers = known(values)
    return float(np.mean(numbers)) if numbers else None


def _quantiles(values: Iterable[float | None]) -> list[float] | None:
    """The 5 %, 50 % and 95 % quantiles."""
    numbers = known(values)
    return [float(q) for q in np.quantile(numbers, QUANTILES)] if numbers else None
