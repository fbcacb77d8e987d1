"""Defended predictions at full speed: ragged walks on every device, samples dealt to equally long queues."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from ssni_jax.core.types import Images, Keys, Level, Logits
from ssni_jax.dist import by_rows, rows
from ssni_jax.purify import Defense, Ragged
from ssni_jax.solvers import ragged


class Prediction(NamedTuple):
    """Logits and how they came about; t has one column a round."""

    logits: Logits
    image: Images
    deviation: Level
    t: Float[Array, "B R"]
    n_calls: Level
    noised: Images


def make_predict(mesh: Mesh, n_slots: int) -> Callable[[Defense, Keys, Images], Prediction]:
    """A jitted `(defense, keys, x) -> Prediction` for rows split over the mesh; the same result as `defense(keys, x)`.

    Deviations are measured first, then rows move between devices so that every queue has about the same sum of t.
    """

    def walk(defense: Defense, keys: Keys, x: Images, deviation: Level) -> Prediction:
        done = defense.purify.run_from(keys, x, deviation)
        logits = defense.classify(done.image)
        return Prediction(logits, done.image, deviation, done.t.T, done.n_calls, done.noised)

    @partial(jax.jit, out_shardings=rows(mesh))  # left to itself XLA may replicate, and a process would keep all rows
    def predict(defense: Defense, keys: Keys, x: Images) -> Prediction:
        purify = dataclasses.replace(defense.purify, walk=Ragged(n_slots))
        deviation = purify.measure(keys, x)
        dealt = ragged.deal(jnp.sum(purify.times(deviation), axis=0), mesh.shape["data"])
        moved = (keys[dealt], x[dealt], deviation[dealt])
        found = by_rows(mesh, walk)(dataclasses.replace(defense, purify=purify), *moved)
        return jax.tree.map(lambda v: v[jnp.argsort(dealt)], found)

    return predict
