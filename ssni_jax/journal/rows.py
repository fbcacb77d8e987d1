"""The row of numbers of one evaluated predictor."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ssni_jax.evals.protocol import INVALID, mean_of_draws, wins_majority, wins_plurality, withstands
from ssni_jax.evals.statistics import Scores, interval, wilson
from ssni_jax.journal.records import EvaluationRecord, draws_of

QUANTILES = (0.05, 0.5, 0.95)
Records = Sequence[EvaluationRecord]


def summarise(name: str, records: Records) -> dict[str, Any]:
    """The row of one predictor; accuracies are shares of the images, and an invalid prediction counts as wrong.

    `mean_t`, `nfe_per_image` and `seconds_per_image` are of clean images, t averaged over rounds. Whatever no image has
    is None; without an attack that is every number about adversarial images.
    """
    return {
        "defense": name,
        "n": len(records),
        "n_draws": n_draws(records),
        **proportion("clean", clean_scores(records)),
        **proportion("clean_draw", *_clean_draw_scores(records)),
        **_robust(attacked(records)),
        "n_invalid": sum(record["clean_label"] == INVALID for record in records),
        "n_invalid_adversarial": sum(INVALID in draws_of(record) for record in records),
        "n_invalid_iterates": sum(INVALID in record.get("iterates", []) for record in records),
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


def _robust(records: Records) -> dict[str, Any]:
    """Every judgement of the adversarial images.

    `robust` is the accuracy of one fresh draw, `robust_worst` of an image whose n draws are all right, `robust_vote` of
    their plurality (a tie is wrong), `robust_majority` of more than half of them, `robust_answer` of the predictor's
    own answer, `robust_worst_iterate` of an image whose answer is right on every judged iterate of the attack, and
    `fixed_key` of the answer under the attack's own key.
    """
    return {
        "n_attacked": len(records),
        **proportion("robust", robust_scores(records), n_draws(records) > 1),
        **proportion("robust_worst", _scores(records, _all_right)),
        **proportion("robust_vote", _scores(records, lambda r: wins_plurality(draws_of(r), r["label"]))),
        **proportion("robust_majority", _scores(records, lambda r: wins_majority(draws_of(r), r["label"]))),
        **proportion("robust_answer", *_answer_scores(records)),
        **proportion("robust_worst_iterate", _iterate_scores(records)),
        **proportion("fixed_key", _right(records, "fixed_key_label")),
        **proportion("bare_classifier", _right(records, "undefended_label")),
        "resubmission": resubmission(records),
    }


def resubmission(records: Records) -> list[dict[str, Any]]:
    """Accuracy against m = 1, 2, ... submissions of one image, with intervals; empty without an attack."""
    lengths = [len(draws_of(record)) for record in records]
    curve = []
    for m in range(1, min(lengths, default=0) + 1):
        scores = _scores(records, lambda record, m=m: withstands(draws_of(record), record["label"], m))
        curve.append({"m": m, **proportion("accuracy", scores, m < max(lengths))})
    return curve


def attacked(records: Records) -> list[EvaluationRecord]:
    """The records that have an adversarial image."""
    return [record for record in records if draws_of(record)]


def clean_scores(records: Records) -> Scores:
    """1 where the predictor's answer on the clean image is right, else 0."""
    return _right(records, "clean_label")


def robust_scores(records: Records) -> Scores:
    """Share of fresh draws that are right on the adversarial image."""
    return _scores(records, lambda record: mean_of_draws(draws_of(record), record["label"]))


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


def _clean_draw_scores(records: Records) -> tuple[Scores, bool]:
    """Share of the draws on the clean image that are right, and whether they are several."""
    scores = _scores(records, lambda record: mean_of_draws(record["clean_draws"], record["label"]))
    return scores, any(len(record["clean_draws"]) > 1 for record in records)


def _answer_scores(records: Records) -> tuple[Scores, bool]:
    """Share of fresh keys under which the predictor's own answer is right, and whether they are several."""
    answered = [record for record in records if record.get("answers")]
    scores = _scores(answered, lambda record: mean_of_draws(record["answers"], record["label"]))
    return scores, any(len(record.get("answers", [])) > 1 for record in answered)


def _iterate_scores(records: Records) -> Scores:
    """1 where the answer is right on every judged iterate, else 0; of the records that have any."""
    judged = [record for record in records if record.get("iterates")]
    return _scores(judged, lambda record: set(record["iterates"]) == {record["label"]})


def _all_right(record: EvaluationRecord) -> float:
    return withstands(draws_of(record), record["label"], len(draws_of(record)))


def _right(records: Records, name: str) -> Scores:
    """1 where the label of that name is the image's, else 0; of the records that have it."""
    return _scores([record for record in records if name in record], lambda record: record[name] == record["label"])


def _scores(records: Records, score: Callable[[Any], Any]) -> Scores:
    return np.array([float(score(record)) for record in records], dtype=float)


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
