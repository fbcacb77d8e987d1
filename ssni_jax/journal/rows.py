"""One row of numbers for one defence."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ssni_jax.evals.statistics import Interval, Scores, interval, wilson
from ssni_jax.journal.records import Record

QUANTILES = (0.05, 0.5, 0.95)


def summarise(defense: str, records: Sequence[Record]) -> dict[str, Any]:
    """The row of one defence; accuracies are shares of all n images, and an invalid image counts as wrong.

    `robust` is the mean over images of the share of fresh draws that are correct: what one new draw is worth. Beside
    it stand the stricter `robust_worst_of_draws` (every draw correct) and `robust_vote` (strictly most votes for the
    label). `mean_t`, `nfe_per_image` and `seconds_per_image` are what an untouched image takes, t averaged over rounds.
    """
    n = len(records)
    clean, robust = clean_scores(records), robust_scores(records)
    return {
        "defense": defense,
        **_proportion("clean", clean, interval),
        **_proportion("robust", robust, interval if n_draws(records) == 1 else wilson),
        "mean_t": _mean(mean_t(record["clean_t"]) for record in records),
        "nfe_per_image": _mean(record["clean_nfe"] for record in records),
        "seconds_per_image": _mean(record["seconds"] for record in records),
        "n": n,
        "n_invalid": sum(not record["valid"] for record in records),
        "n_draws": n_draws(records),
        **_proportion("robust_worst_of_draws", np.floor(robust + 1e-9), interval),
        **_proportion("robust_vote", _scores(records, _wins_vote), interval),
        **_proportion("bare_classifier", _scores(records, _bare_is_right), interval),
        "mean_t_adversarial": _mean(mean_t(record["adversarial_t"]) for record in records),
        "t_quantiles": _quantiles(mean_t(record["clean_t"]) for record in records),
        "t_quantiles_adversarial": _quantiles(mean_t(record["adversarial_t"]) for record in records),
        "norm_quantiles": _quantiles(record["clean_norm"] for record in records),
        "norm_quantiles_adversarial": _quantiles(record["adversarial_norm"] for record in records),
        "nfe_per_adversarial_image": _mean(record["adversarial_nfe"] for record in records),
        "linf_max": max(known(record["linf"] for record in records), default=None),
        "l2_mean": _mean(record["l2"] for record in records),
    }


def clean_scores(records: Sequence[Record]) -> Scores:
    """1 where the defence is right on the untouched image, else 0."""
    return _scores(records, lambda record: record["clean_prediction"] == record["label"])


def robust_scores(records: Sequence[Record]) -> Scores:
    """Share of fresh draws in which the defence is right on the adversarial image."""
    return _scores(records, lambda record: np.mean(np.equal(draws(record), record["label"])))


def draws(record: Record) -> list[int]:
    """Predictions of the defence on the adversarial image, one a fresh key."""
    return record["adversarial_draws"] or [record["adversarial_prediction"]]


def n_draws(records: Sequence[Record]) -> int:
    """Most fresh draws any image has."""
    return max((len(draws(record)) for record in records), default=1)


def mean_t(t: Sequence[float | None] | None) -> float | None:
    """Noise level of one image averaged over rounds; None where the method has none, or it was NaN."""
    levels = known(t or [])
    return float(np.mean(levels)) if levels else None


def known(values: Iterable[float | None]) -> list[float]:
    """The values that were measured and are numbers."""
    return [value for value in values if value is not None and np.isfinite(value)]


def _scores(records: Sequence[Record], score: Callable[[Record], Any]) -> Scores:
    return np.array([float(score(record)) if record["valid"] else 0.0 for record in records], dtype=float)


def _wins_vote(record: Record) -> bool:
    """A tie is not a win."""
    votes = draws(record)
    others = [votes.count(label) for label in set(votes) - {record["label"]}]
    return votes.count(record["label"]) > max(others, default=0)


def _bare_is_right(record: Record) -> bool:
    return record["undefended_prediction"] == record["label"]


def _proportion(name: str, scores: Scores, method: Callable[..., Interval]) -> dict[str, Any]:
    n, total = len(scores), float(np.sum(scores))
    ends = method(round(total) if method is interval else total, n)
    return {name: total / n if n else None, f"{name}_ci": [ends.low, ends.high]}


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = known(values)
    return float(np.mean(numbers)) if numbers else None


def _quantiles(values: Iterable[float | None]) -> list[float] | None:
    """The 5 %, 50 % and 95 % quantiles."""
    numbers = known(values)
    return [float(q) for q in np.quantile(numbers, QUANTILES)] if numbers else None
