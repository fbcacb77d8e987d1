"""When an image has been looked at enough: after every planned draw, or earlier by a rule that stays valid."""

import dataclasses
import math
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool
from scipy.special import log_ndtr, ndtr

from ssni_jax.certify.bounds import Votes, lower_bound
from ssni_jax.core.protocols import checks_classes


@checks_classes("radius", "looks_at", "is_over")
@runtime_checkable
class Stopping(Protocol):
    """Splits the draws of an image into looks at their votes, after each of which the image may be over."""

    @property
    def radius(self) -> float:
        """The radius that is asked for; 0 for whatever comes out."""
        ...

    def looks_at(self, n: int) -> tuple[int, ...]:
        """The numbers of draws after which the votes are looked at, ascending; the last is n."""
        ...

    def is_over(self, votes: Votes, n: Votes, sigma: float, alpha: float) -> Bool[np.ndarray, " B"]:
        """Whether no more draws are wanted, by the votes for the chosen class of n draws, at one look's `alpha`."""
        ...


@dataclasses.dataclass(frozen=True)
class FixedDraws:
    """All the draws for every image (Cohen et al. 2019): one look, at the end."""

    radius = 0.0

    def looks_at(self, n: int) -> tuple[int, ...]:
        return (n,)

    def is_over(self, votes: Votes, n: Votes, sigma: float, alpha: float) -> Bool[np.ndarray, " B"]:
        return np.zeros(len(votes), bool)


@dataclasses.dataclass(frozen=True)
class AlphaSpending:
    """Looks after `looks` draws too, and stops an image once `radius` is certified or abstaining is decided.

    Each of the L looks, the one after all draws included, bounds the probability p of the chosen class with error
    alpha / L. By the union bound all L bounds hold together but for probability alpha, so the largest of those seen
    holds, whichever look was the last and however that was decided. An upper bound of p below one half ends an image
    as abstaining, which claims nothing and so cannot be wrong. An image keeps the radius of the moment it stops: ask
    for the largest `radius` that is of interest.
    """

    radius: float
    looks: tuple[int, ...] = (100, 1000)

    def __post_init__(self):
        if not self.radius >= 0:
            raise ValueError(f"radius={self.radius} cannot be certified: choose a positive one, or 0 for the class.")
        if not self.looks or self.looks[0] < 1 or np.any(np.diff(self.looks) <= 0):
            raise ValueError(f"looks={self.looks} do not ascend from 1 draw or more: sort them.")

    def looks_at(self, n: int) -> tuple[int, ...]:
        if self.looks[-1] >= n:
            raise ValueError(f"A look after {self.looks[-1]} draws does not come before the last of {n}: leave it out.")
        return (*self.looks, n)

    def is_over(self, votes: Votes, n: Votes, sigma: float, alpha: float) -> Bool[np.ndarray, " B"]:
        certified = lower_bound(votes, n, alpha) >= ndtr(self.radius / sigma)
        return certified | (1 - lower_bound(n - votes, n, alpha) < 0.5)


def smallest_n(alpha: float, radius: float = 0.0, sigma: float = 1.0) -> int:
    """The fewest draws that certify more than `radius` if all agree: alpha^(1/n) > ndtr(radius / sigma)."""
    log_p = float(log_ndtr(radius / sigma))
    if log_p > -1e-12:
        raise ValueError(f"radius={radius} is out of reach at sigma={sigma}: choose a radius below {7 * sigma:g}.")
    return math.floor(math.log(alpha) / log_p) + 1


def check_draws(stopping: Stopping, n: int, alpha: float, sigma: float) -> None:
    """Refuses numbers of draws that could certify nothing, or not the radius asked for, at the largest `sigma`."""
    looks = stopping.looks_at(n)
    share = alpha / len(looks)
    least = smallest_n(share)
    if looks[0] < least:
        raise ValueError(
            f"{looks[0]} draws can never certify with alpha={share:g}, even if all agree: the smallest number that "
            f"could is {least}."
        )
    least = smallest_n(share, stopping.radius, sigma)
    if n < least:
        raise ValueError(
            f"{n} draws can never certify radius {stopping.radius:g} at sigma {sigma:g} with alpha={share:g}, even if "
            f"all agree: the smallest number that could is {least}."
        )
