"""Randomized smoothing's statements on counted votes (Cohen et al. 2019, arXiv:1902.02918), on the host in float64."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import bdtr, betaincinv, ndtri

Counts = Int[np.ndarray, "B K"]
Votes = Int[np.ndarray, " B"]
Looks = Int[np.ndarray, "B L"]
Numbers = Float[np.ndarray, " B"] | float
ABSTAIN = -1


class Certificate(NamedTuple):
    """A class, or -1 to abstain, and the L2 radius within which it holds."""

    label: Votes
    radius: Float[np.ndarray, " B"]


def certify(selection: Counts, estimation: Counts, *, sigma: Numbers, alpha: Numbers = 0.001) -> Certificate:
    """CERTIFY (section 3.2.2): the class of the selection draw, its radius by the independent estimation draw.

    `sigma` is the noise of images in [0, 1], and the radius is in the same range. Each statement is wrong with
    probability `alpha` at most.
    """
    chosen = np.argmax(selection, axis=1)
    votes = np.take_along_axis(estimation, chosen[:, None], axis=1)
    return certify_looks(chosen, votes, estimation.sum(axis=1, keepdims=True), sigma=sigma, alpha=alpha)


def certify_looks(chosen: Votes, votes: Looks, n: Looks, *, sigma: Numbers, alpha: Numbers = 0.001) -> Certificate:
    """CERTIFY where the estimation was looked at L times: by the largest of L bounds, each at confidence 1 - alpha / L.

    `votes` for the chosen class of `n` draws up to each look; a look that was not taken has 0 of 0.
    """
    share = alpha / votes.shape[1]
    bound = np.max([lower_bound(v, m, share) for v, m in zip(votes.T, n.T, strict=True)], axis=0)
    # ndtri answers -inf to a bound of zero, which the choice below leaves out.
    radius = np.where(bound > 0.5, sigma * ndtri(bound), 0.0)
    return Certificate(np.where(bound < 0.5, ABSTAIN, chosen), radius)


def predict(counts: Counts, *, alpha: Numbers = 0.001) -> Votes:
    """PREDICT (section 3.2.1): the class with most votes, or -1 where its lead over the next one may be chance."""
    second, first = np.sort(counts, axis=1)[:, -2:].T
    # The two-sided binomial test at one half: twice the smaller tail, which the runner-up's votes bound.
    p_value = np.minimum(2 * bdtr(second, first + second, 0.5), 1.0)
    return np.where(p_value > alpha, ABSTAIN, np.argmax(counts, axis=1))


def lower_bound(votes: Votes, n: Votes, alpha: Numbers) -> Float[np.ndarray, " B"]:
    """One-sided Clopper-Pearson lower bound of a probability at confidence 1 - alpha."""
    refused = np.ravel(alpha)[(np.ravel(alpha) <= 0) | (np.ravel(alpha) >= 1)]
    if refused.size:
        raise ValueError(f"alpha={refused[0]} is no probability of error: choose one between 0 and 1.")
    return np.where(votes == 0, 0.0, betaincinv(np.maximum(votes, 1), n - votes + 1, alpha))
