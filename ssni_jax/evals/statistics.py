"""Intervals for accuracies and paired tests between two defences, in float64 on the host."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import bdtr, betaincinv, ndtri

Scores = Float[np.ndarray, " n"]


class Interval(NamedTuple):
    """Two ends of a confidence interval."""

    low: float
    high: float


class Paired(NamedTuple):
    """Two defences on the same n images: mean score of a minus b, its interval, and how often each was better."""

    n: int
    difference: float
    low: float
    high: float
    a_better: int
    b_better: int
    p_value: float


def interval(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Exact interval for a proportion with k of n successes (Clopper and Pearson 1934); [0, 1] when n = 0."""
    _check(k, n, confidence)
    if n == 0:
        return Interval(0.0, 1.0)
    tail = (1 - confidence) / 2
    low = betaincinv(k, n - k + 1, tail) if k > 0 else 0.0
    high = betaincinv(k + 1, n - k, 1 - tail) if k < n else 1.0
    return Interval(float(low), float(high))


def wilson(k: float | int, n: int, confidence: float = 0.95) -> Interval:
    """Score interval for a mean of n values in [0, 1] whose sum is k (Wilson 1927); [0, 1] when n = 0.

    k may be fractional: with several draws per image, the share of correct draws. No such value varies more than a coin
    of the same mean, so the interval errs to the wide side.
    """
    _check(k, n, confidence)
    if n == 0:
        return Interval(0.0, 1.0)
    z = float(-ndtri((1 - confidence) / 2))
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def paired_difference(a: Scores, b: Scores, confidence: float = 0.95) -> Paired:
    """Score of a minus score of b on the same images; entries in [0, 1], row i of both is image i.

    The test is exact and two-sided on the signs of the differences, which for 0/1 scores is McNemar's (1947) exact
    test; the interval is Newcombe's for paired proportions (1998, Statist. Med. 17:2635, method 10).
    """
    a_better, b_better = int(np.sum(a > b)), int(np.sum(a < b))
    unequal = a_better + b_better
    p_value = min(1.0, 2 * float(bdtr(min(a_better, b_better), unequal, 0.5))) if unequal else 1.0
    difference = float(np.mean(a) - np.mean(b)) if len(a) else 0.0
    low, high = _square_and_add(a, b, confidence)
    return Paired(len(a), difference, low, high, a_better, b_better, p_value)


def _square_and_add(a: Scores, b: Scores, confidence: float) -> Interval:
    n = len(a)
    if n == 0:
        return Interval(-1.0, 1.0)
    p, q, phi = float(np.mean(a)), float(np.mean(b)), _correlation(a, b)
    at_p, at_q = wilson(float(np.sum(a)), n, confidence), wilson(float(np.sum(b)), n, confidence)
    below = math.hypot(*_rotated(p - at_p.low, at_q.high - q, phi))
    above = math.hypot(*_rotated(at_p.high - p, q - at_q.low, phi))
    return Interval(max(-1.0, p - q - below), min(1.0, p - q + above))


def _rotated(u: float, v: float, phi: float) -> tuple[float, float]:
    """Two numbers whose squares sum to u^2 - 2 phi u v + v^2, which is then never negative by rounding."""
    return u - phi * v, v * math.sqrt(1 - phi * phi)


def _correlation(a: Scores, b: Scores) -> float:
    """Correlation of single answers, a positive covariance shrunk by 1/(2n); 0 where a defence never varies."""
    p, q = np.mean(a), np.mean(b)
    spread = math.sqrt(p * (1 - p) * q * (1 - q))
    covariance = float(np.mean(a * b) - p * q)
    if covariance > 0:
        covariance = max(0.0, covariance - 0.5 / len(a))
    return max(-1.0, min(1.0, covariance / spread)) if spread > 0 else 0.0


def _check(k: float | int, n: int, confidence: float) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"{k} successes of {n} is no proportion: pass 0 <= k <= n.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not strictly between 0 and 1: pass for example 0.95.")
