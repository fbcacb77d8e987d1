"""The noise level as a function of the score norm, as the report draws it."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from ssni_jax.core.protocols import Predict
from ssni_jax.journal.units import StoredUnit

POINTS, BEYOND = 200, 1.5  # of a curve, up to this multiple of the largest norm of a clean image


def level_curves(predict: Predict, units: Sequence[StoredUnit]) -> list[dict[str, Any]]:
    """t over the norm, averaged over rounds: one curve, or one per unit for levels that see their batch."""
    levels_in_batch = getattr(predict, "in_batch", None)
    if levels_in_batch is None:
        return []
    groups = [[r["clean_norm"] for r in u.records if r.get("clean_norm") is not None] for u in units]
    top = max((max(group) for group in groups if group), default=0.0)
    grid = np.linspace(0, BEYOND * top, POINTS)
    curves: list[dict[str, Any]] = []
    for group in groups:
        if group:
            level = levels_in_batch(jnp.asarray(group))
            t = np.asarray(level.levels(jnp.asarray(grid)))
            curve = {"norm": grid.tolist(), "t": t.mean(axis=0).tolist()} if len(t) else None
            if curve is not None and curve not in curves:
                curves.append(curve)
    return curves
