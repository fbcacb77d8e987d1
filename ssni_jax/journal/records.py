"""The records of the journal, one kind per stage of a run."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import numpy as np
from jaxtyping import Int

from ssni_jax.core.protocols import Trace

Times = list[float | None]


class EvaluationRecord(TypedDict):
    """One image under one predictor. A label of -1 stands for a prediction with a NaN or infinite logit.

    t has one entry per round; t and norm are None where the predictor does not measure them. Without an attack the
    fields about the adversarial image are missing.
    """

    id: int
    label: int
    experiment: str  # short hash of the experiment that made the record
    clean_label: int  # the predictor's answer on the clean image
    clean_draws: list[int]  # the label of each draw of a vote; the answer alone for other predictors
    clean_t: Times | None
    clean_norm: float | None
    clean_nfe: float  # network calls of one prediction
    seconds: float  # of the clean prediction: its share of the batch, without compilation
    draws: NotRequired[list[int]]  # the label of each fresh draw on the adversarial image
    answers: NotRequired[list[int]]  # the predictor's answer for each fresh key; a vote makes several draws per answer
    iterates: NotRequired[list[int]]  # the answer on the attack's image after each judged iteration, a fresh key each
    fixed_key_label: NotRequired[int]  # the answer under the key of the attack's last iteration
    undefended_label: NotRequired[int]  # of the classifier without purification, on the adversarial image
    adversarial_t: NotRequired[Times | None]
    adversarial_norm: NotRequired[float | None]
    adversarial_nfe: NotRequired[float]
    attack_loss: NotRequired[float | None]
    attack_queries: NotRequired[int]
    linf: NotRequired[float | None]
    l2: NotRequired[float | None]


class CertifiedRecord(TypedDict):
    """One image under one smoothing noise `sigma`, of images in [0, 1]; docs/certification.md says what each means."""

    id: int
    label: int
    sigma: float
    selection: list[int]  # votes per class of the draws that choose the class
    estimation: list[int]  # votes of the draws that bound its probability
    n_invalid: int  # draws of both kinds with a NaN or infinite logit, which vote for no class
    n_estimation: int  # number of estimation draws, invalid ones included
    looks: list[list[int]] | None  # [draws, votes for the chosen class] at each look of early stopping
    prediction: int  # the certified class; -1 abstains
    radius: float  # L2, in the [0, 1] range; 0 where it abstains
    predict: int  # PREDICT's class on the estimation votes; -1 abstains
    calls: float  # network calls of one draw
    seconds: float  # of one draw, its share of the batch, without compilation
    transport: float | None  # mean L2 distance of purified draws to the clean image, in the [0, 1] range
    distance: float | None  # mean of the experiment's distance
    psnr: float | None
    ssim: float | None


class MoreDraws(TypedDict):
    """Further draws of an image, which begin after its `first` ones."""

    id: int
    first: int
    draws: list[int]
    answers: list[int]


class StageRecord(TypedDict):
    """One image under one attack of an ensemble."""

    id: int
    broken: float  # share of wrong draws
    loss: float | None
    queries: int
    iterates: NotRequired[list[int]]


class NormRecord(TypedDict):
    """The norm of one clean image; None where it was not finite."""

    id: int
    norm: float | None


STAGES = {
    "evaluated": EvaluationRecord,
    "draws": MoreDraws,
    "attack-": StageRecord,
    "certified": CertifiedRecord,
    "measured": NormRecord,
}
"""The records of a unit by how the name of its stage begins."""


def clean_fields(trace: Trace, row: int) -> dict[str, Any]:
    """The fields about the clean image, of one row of a trace on the host."""
    labels, answer = labels_of(trace, row)
    return {
        "clean_label": answer,
        "clean_draws": labels,
        "clean_t": trace.t[row].tolist() or None,
        "clean_norm": measured(trace.deviation[row]),
        "clean_nfe": float(trace.n_calls[row]),
    }


def adversarial_fields(trace: Trace, row: int) -> dict[str, Any]:
    """The fields about the adversarial image, of one row of its first fresh prediction."""
    return {
        "adversarial_t": trace.t[row].tolist() or None,
        "adversarial_norm": measured(trace.deviation[row]),
        "adversarial_nfe": float(trace.n_calls[row]),
    }


def labels_of(trace: Trace, row: int) -> tuple[list[int], int]:
    """The label of each draw of one row, and the predictor's answer."""
    answer = int(answers_of(trace)[row])
    return (np.asarray(trace.labels[row]).tolist() if trace.labels is not None else [answer]), answer


def answers_of(trace: Trace) -> Int[np.ndarray, " B"]:
    """The predictor's answer per row, -1 where a logit is not finite."""
    logits = np.asarray(trace.logits)
    return np.where(np.all(np.isfinite(logits), axis=1), np.argmax(logits, axis=1), -1)


def size_of(change: np.ndarray) -> dict[str, float]:
    """Maximum and Euclidean norm of a change of an image in [0, 1]."""
    return {"linf": float(np.max(np.abs(change))), "l2": float(np.linalg.norm(change))}


def measured(deviation: Any) -> float | None:
    """The norm of one image; None where the predictor measures none, which a trace shows as zero."""
    return float(deviation) if deviation != 0 else None


def draws_of(record: EvaluationRecord) -> list[int]:
    """The label of each fresh draw on the adversarial image; empty without an attack."""
    return record.get("draws", [])


def joined(record: EvaluationRecord, more: Mapping[str, Any]) -> EvaluationRecord:
    """The record of an image with the further draws of a later run."""
    extended: Any = {name: [*record.get(name, []), *more[name]] for name in ("draws", "answers")}
    return record | extended
