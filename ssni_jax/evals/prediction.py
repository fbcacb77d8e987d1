"""The one compiled "purify and classify": ragged walks on every device, rows dealt to equally long queues."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from ssni_jax.core.protocols import Measurable, Measured, Predict, Trace
from ssni_jax.core.types import Images, Keys
from ssni_jax.dist import by_rows, rows
from ssni_jax.evals.sharing import SharedJit
from ssni_jax.networks.network import is_divided
from ssni_jax.solvers import ragged

Prediction = Callable[[Any, Keys, Images], Trace]


def make_predict(mesh: Mesh, n_slots: int) -> Prediction:
    """A jitted `(predict, keys, x) -> Trace` for rows split over the mesh; the same result as `predict.trace(keys, x)`.

    A predictor that measures does so first; then rows move between devices, so that every queue has about the same sum
    of t. Levels that look at their batch see the whole of it.
    """

    def predicted(predict: Predict, keys: Keys, x: Images) -> Trace:
        # Devices walk together where they hold parts of a network for each other, and else to their own lengths.
        predict = predict.scanned() if is_divided(predict) else predict.ragged(n_slots)
        if not isinstance(predict, Measurable):
            return by_rows(mesh, lambda predict, keys, x: predict.trace(keys, x))(predict, keys, x)
        measured = by_rows(mesh, lambda predict, keys, x: predict.measure(keys, x))(predict, keys, x)
        dealt = ragged.deal(jnp.sum(measured.t.reshape(len(x), -1), axis=1), mesh.shape["data"])
        moved = jax.tree.map(lambda v: v[dealt], (keys, x, measured))
        trace = by_rows(mesh, _trace_at)(predict, *moved)
        return jax.tree.map(lambda v: v[jnp.argsort(dealt)], trace)

    # Left to itself XLA may replicate, and a process would keep all rows.
    return SharedJit(predicted, out_shardings=rows(mesh))


def _trace_at(predict: Measurable, keys: Keys, x: Images, measured: Measured) -> Trace:
    return predict.trace_at(keys, x, measured)


def n_classified(predict: Predict) -> int:
    """Classifier calls per draw: those of a vote on the purified image, 1 for other predictors."""
    return int(getattr(predict, "n_classified", 1))


def n_votes(predict: Predict) -> int:
    """Draws per prediction: K of a vote of K, 1 for other predictors."""
    return int(getattr(predict, "n_votes", 1))
