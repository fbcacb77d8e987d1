"""Isotonic regression: the monotone function nearest to noisy observations."""

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " N"]


def isotonic(x: Vector, y: Vector, weight: Vector) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Increasing knots and the non-decreasing values there of least weighted squared error to y.

    Neighbours in x that decrease in y are pooled into one knot at their weighted means (pool adjacent violators,
    Barlow et al. 1972); equal x are one from the beginning. Between knots the function is linear.
    """
    places, group = np.unique(x, return_inverse=True)
    totals = [np.bincount(group, part) for part in (weight, weight * y)]
    pools: list[np.ndarray] = []  # sums of the weight, of weight x and of weight y
    for pool in np.stack([totals[0], totals[0] * places, totals[1]], axis=1):
        pools.append(pool)
        while len(pools) > 1 and _mean_y(pools[-2]) >= _mean_y(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    pooled = np.stack(pools)
    return pooled[:, 1] / pooled[:, 0], pooled[:, 2] / pooled[:, 0]


def _mean_y(pool: np.ndarray) -> float:
    return pool[2] / pool[0]
