"""What robust means for a randomized predictor: judgements of an image from the labels of n fresh draws.

A label of -1 stands for a draw with a NaN or infinite logit, which is never right and never gets a vote.
"""

from collections.abc import Sequence
from math import comb

INVALID = -1


def mean_of_draws(labels: Sequence[int], y: int) -> float:
    """Share of draws that are right: the accuracy of one draw."""
    return sum(label == y for label in labels) / len(labels)


def withstands(labels: Sequence[int], y: int, m: int) -> float:
    """Probability that the image withstands `m` submissions: all of m of the n draws, without replacement, are right.

    With k of n draws wrong it is C(n - k, m) / C(n, m), unbiased for m up to n; m = 1 is the mean, m = n the worst.
    """
    if not 1 <= m <= len(labels):
        raise ValueError(f"The number of submissions must lie between 1 and the {len(labels)} draws made, got {m}.")
    return comb(sum(label == y for label in labels), m) / comb(len(labels), m)


def all_right(labels: Sequence[int], y: int) -> bool:
    """Whether every label is y: the worst case over all of them."""
    return all(label == y for label in labels)


def wins_plurality(labels: Sequence[int], y: int) -> bool:
    """Whether strictly more draws answer y than any other label: a tie counts as wrong."""
    others = [labels.count(label) for label in set(labels) - {y, INVALID}]
    return list(labels).count(y) > max(others, default=0)


def wins_majority(labels: Sequence[int], y: int) -> bool:
    """Whether more than half of all draws answer y."""
    return 2 * list(labels).count(y) > len(labels)
