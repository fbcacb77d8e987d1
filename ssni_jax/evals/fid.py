"""Distances between two sets of images by their features: Frechet (FID) and kernel (KID), float64 on the host."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ssni_jax.core.rng import checked_seed
from ssni_jax.evals.features import Features, Moments, check_same

N_SUBSETS, MOST = 100, 1000


def frechet(a: Moments, b: Moments) -> float:
    """Frechet distance of two Gaussians, FID (Heusel et al. 2017, arXiv:1706.08500, eq. 6).

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)). With C = A A^T the last trace is the sum of the singular values
    of A_a^T A_b, so that singular covariances need neither a complex root nor something added to their diagonals.
    """
    check_same(a, b)
    shift = np.sum(np.square(a.mean - b.mean))
    factor_a, factor_b = root(a.covariance), root(b.covariance)
    common = np.linalg.svd(factor_a.T @ factor_b, compute_uv=False).sum()
    return float(shift + np.square(factor_a).sum() + np.square(factor_b).sum() - 2 * common)


def root(covariance: Float[np.ndarray, "D D"]) -> Float[np.ndarray, "D _r"]:
    """A with A A^T the covariance, one column for every direction that has a variance."""
    variances, directions = np.linalg.eigh(covariance)
    held = variances > len(variances) * np.finfo(np.float64).eps * max(variances[-1], 0.0)
    return directions[:, held] * np.sqrt(variances[held])


class Kid(NamedTuple):
    """Mean and standard deviation of the estimate over random subsets of `size` images of both sets."""

    mean: float
    std: float
    n_subsets: int
    size: int


def kid(a: Features, b: Features, *, n_subsets: int = N_SUBSETS, size: int | None = None, seed: int = 0) -> Kid:
    """Kernel distance, KID (Binkowski et al. 2018, arXiv:1801.01401): unbiased, whatever the number of images.

    `size` is 1000 as published, or half the smaller set if that is less. Row i of `a` never meets row i of `b`: where
    both are of one image, before and after purification, the estimate would come out too small.
    """
    check_same(a, b)
    half = min(len(a.vectors), len(b.vectors)) // 2
    size = min(MOST, half) if size is None else size
    if not 2 <= size <= half:
        raise ValueError(
            f"KID compares subsets of 2 to {half} of these images, not of {size}: give more, or fewer each."
        )
    rng = np.random.default_rng(checked_seed(seed))
    estimates = [squared_mmd(*_apart(rng, a.vectors, b.vectors, size)) for _ in range(n_subsets)]
    return Kid(float(np.mean(estimates)), float(np.std(estimates)), n_subsets, size)


def _apart(
    rng: np.random.Generator, a: Float[np.ndarray, "N D"], b: Float[np.ndarray, "M D"], size: int
) -> tuple[Float[np.ndarray, "S D"], Float[np.ndarray, "S D"]]:
    """`size` rows of each, no row number in both."""
    rows = rng.choice(len(a), size, replace=False)
    others = rng.choice(np.setdiff1d(np.arange(len(b)), rows), size, replace=False)
    return a[rows].astype(np.float64), b[others].astype(np.float64)


def squared_mmd(x: Float[np.ndarray, "N D"], y: Float[np.ndarray, "M D"]) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, eq. 3) under `cubic`."""
    return float(_off_diagonal_mean(cubic(x, x)) + _off_diagonal_mean(cubic(y, y)) - 2 * cubic(x, y).mean())


def cubic(x: Float[np.ndarray, "N D"], y: Float[np.ndarray, "M D"]) -> Float[np.ndarray, "N M"]:
    """(x . y / D + 1)^3, the kernel of KID."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def _off_diagonal_mean(kernel: Float[np.ndarray, "N N"]) -> float:
    n = len(kernel)
    return (kernel.sum() - np.trace(kernel)) / (n * (n - 1))
