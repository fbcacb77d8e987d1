"""The numbers of one certified method: one row per noise level, and the best level at every radius."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from ssni_jax.certify import lower_bound
from ssni_jax.evals.statistics import interval
from ssni_jax.journal.rows import known

Numbers = Float[np.ndarray, " n"]
MEASURED = ("seconds", "calls", "transport", "distance", "psnr", "ssim")
FINE, COARSE = 0.25, 0.5  # the papers' spacing of radii up to 1 and above


def summarise_certified(
    method: str, records: Sequence[Mapping[str, Any]], radii: Sequence[float] | None = None, alpha: float = 0.001
) -> dict[str, Any]:
    """One row per sigma and the upper envelope, at `radii` (by default those that the draws can reach at `alpha`).

    Shares are of all recorded images; a wrong, abstaining or invalid image is certified at no radius.
    """
    radii = reachable_radii(reach(records, alpha)) if radii is None else list(radii)
    sigmas = sorted({record["sigma"] for record in records})
    rows = [_row([record for record in records if record["sigma"] == sigma], radii) for sigma in sigmas]
    return {
        "method": method,
        "alpha": alpha,
        "radii": radii,
        "sigmas": rows,
        "envelope": [_best(rows, at, radius) for at, radius in enumerate(radii)] if rows else [],
    }


def certified_radii(records: Sequence[Mapping[str, Any]]) -> Numbers:
    """The radius of each image whose certified class is its label, and minus infinity for every other image."""
    return np.array([record["radius"] if is_right(record) else -np.inf for record in records], dtype=float)


def certified_accuracy(records: Sequence[Mapping[str, Any]], radii: Sequence[float] | Numbers) -> Numbers:
    """Share of all images that are right with a certified radius of at least r, for each r (Cohen et al. 2019)."""
    certified = np.sort(certified_radii(records))
    return 1 - np.searchsorted(certified, np.asarray(radii, dtype=float)) / max(1, len(certified))


def average_radius(records: Sequence[Mapping[str, Any]]) -> float:
    """ACR, the mean radius where an image that is not right counts 0 (Zhai et al. 2020, arXiv:2001.02378, eq. 8)."""
    return float(np.mean(np.maximum(certified_radii(records), 0.0)))


def is_right(record: Mapping[str, Any]) -> bool:
    """Whether the certified class is the label, with no invalid draw."""
    return record["prediction"] == record["label"] and not record["n_invalid"]


def reach(records: Sequence[Mapping[str, Any]], alpha: float) -> float:
    """The largest radius that a unanimous vote certifies: sigma ndtri(alpha^(1/n)) where no looks spend alpha."""
    if not records:
        return 0.0
    draws = np.array([record["n_estimation"] for record in records])
    sigma = np.array([record["sigma"] for record in records], dtype=float)
    return max(0.0, float(np.max(sigma * ndtri(lower_bound(draws, draws, alpha)))))


def reachable_radii(largest: float) -> list[float]:
    """0, 0.25, 0.5, 0.75, 1, and steps of 0.5 from there to the last that is not above `largest`."""
    spaced = [*np.arange(0, 1, FINE), *np.arange(1, largest + COARSE, COARSE)]
    return [float(radius) for radius in spaced if radius <= largest]


def at_sigma(methods: Sequence[Mapping[str, Any]], sigma: float) -> tuple[int, list[tuple[str, dict[str, Any]]]]:
    """The number of leading radii at which any method certifies an image at one sigma, and the methods' rows there."""
    rows = [(method["method"], row) for method in methods for row in method["sigmas"] if row["sigma"] == sigma]
    return max((int(np.count_nonzero(row["accuracy"])) for _, row in rows), default=0), rows


def _row(records: Sequence[Mapping[str, Any]], radii: Sequence[float]) -> dict[str, Any]:
    n, accuracy = len(records), certified_accuracy(records, radii).tolist()
    return {
        "sigma": records[0]["sigma"],
        "n": n,
        "n_invalid": sum(record["n_invalid"] > 0 for record in records),
        "n_draws": float(np.mean([record["n_estimation"] for record in records])),
        "accuracy": accuracy,
        "accuracy_ci": [list(interval(round(share * n), n)) for share in accuracy],
        "acr": average_radius(records),
        "acr_ci": _normal_interval(np.maximum(certified_radii(records), 0.0)),
        "abstention": sum(record["prediction"] < 0 for record in records) / n,
        **{name: _mean(records, name) for name in MEASURED},
    }


def _best(rows: Sequence[dict[str, Any]], at: int, radius: float) -> dict[str, Any]:
    """The envelope at one radius: of equally good levels the smallest."""
    row = max(rows, key=lambda row: row["accuracy"][at])
    best = {"radius": radius, "accuracy": row["accuracy"][at], "ci": row["accuracy_ci"][at]}
    return best | {"sigma": row["sigma"], "n": row["n"]}


def _normal_interval(values: Numbers) -> list[float] | None:
    """Mean plus and minus 1.96 standard errors; None for a single image."""
    if len(values) < 2:
        return None
    half = float(ndtri(0.975) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return [max(0.0, float(np.mean(values)) - half), float(np.mean(values)) + half]


def _mean(records: Sequence[Mapping[str, Any]], name: str) -> float | None:
    numbers = known(record.get(name) for record in records)
    return float(np.mean(numbers)) if numbers else None
