"""One mesh for everything: rows of a batch lie along "data", and weights lie whole or in parts along it."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ssni_jax.core.types import Tree

MIN_SHARDED = 2**16


def make_mesh(n_model: int = 1, devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh ("data", "model") over all devices, `n_model` of them side by side along "model".

    Axes are Auto, because plain indexing of an array sharded over Explicit axes raises.
    """
    devices = list(jax.devices() if devices is None else devices)
    if n_model < 1 or len(devices) % n_model:
        raise ValueError(f"n_model={n_model} does not divide the {len(devices)} devices; choose one of its divisors.")
    shape = (len(devices) // n_model, n_model)
    return jax.make_mesh(shape, ("data", "model"), axis_types=(AxisType.Auto,) * 2, devices=devices)


def rows(mesh: Mesh) -> NamedSharding:
    """First axis split over "data": images, labels, keys, levels."""
    return NamedSharding(mesh, PartitionSpec("data"))


def whole(mesh: Mesh) -> NamedSharding:
    """A full copy on every device: weights that fit."""
    return NamedSharding(mesh, PartitionSpec())


def sharded_over_data(mesh: Mesh, shapes: Tree, min_size: int = MIN_SHARDED) -> Tree:
    """Shardings that split each array's largest divisible axis over "data"; arrays below `min_size` stay whole.

    `shapes` is a tree of anything with a `shape`, such as the result of `jax.eval_shape`.
    """
    return jax.tree.map(lambda leaf: NamedSharding(mesh, _spec(mesh.shape["data"], leaf.shape, min_size)), shapes)


def _spec(n: int, shape: tuple[int, ...], min_size: int) -> PartitionSpec:
    divisible = [axis for axis, length in enumerate(shape) if length % n == 0 and length > 0]
    if not divisible or int(np.prod(shape)) < min_size:
        return PartitionSpec()
    axis = max(divisible, key=lambda axis: shape[axis])
    return PartitionSpec(*(None,) * axis, "data")
