"""From the rows one process holds to arrays over the whole mesh, and back."""

from collections.abc import Mapping

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from ssni_jax.core.types import Tree
from ssni_jax.dist.mesh import rows


def global_rows(mesh: Mesh, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """The global batch whose rows are the processes' `batch` one after the other, split over "data"."""
    n_rows, n_parts = len(next(iter(batch.values()))), max(1, mesh.shape["data"] // jax.process_count())
    if n_rows % n_parts:
        raise ValueError(f"{n_rows} rows per process do not divide over {n_parts} devices; choose a multiple of that.")
    place = rows(mesh)
    return {name: jax.make_array_from_process_local_data(place, value) for name, value in batch.items()}


def local_rows(array: jax.Array) -> np.ndarray:
    """The rows of a global array that this process holds, in order: the inverse of `global_rows`."""
    if jax.process_count() > 1 and array.is_fully_replicated:
        raise ValueError("a replicated array has no rows of one process: give it the sharding `rows(mesh)` first.")
    shards = {shard.index[0].start or 0: shard.data for shard in array.addressable_shards}
    return np.concatenate([np.asarray(shards[start]) for start in sorted(shards)])


def on_every_host(tree: Tree) -> Tree:
    """The full value of every global array as numpy arrays, on every process."""
    return multihost_utils.process_allgather(tree, tiled=True)
