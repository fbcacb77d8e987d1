"""Reference norms: the deviation of clean images."""

from collections.abc import Iterable, Mapping

import jax
import numpy as np
from jax.sharding import Mesh

from ssni_jax.core.arrays import to_diffusion_range
from ssni_jax.core.protocols import Deviation
from ssni_jax.core.rng import fold, sample_keys
from ssni_jax.dist import by_rows, global_rows, on_every_host


def reference_norms(
    mesh: Mesh, deviation: Deviation, batches: Iterable[Mapping[str, np.ndarray]], seed: int
) -> tuple[float, ...]:
    """Norms of every unmasked row, in order, with the draws that a purifier under `seed` would take."""
    measure = jax.jit(by_rows(mesh, lambda deviation, keys, x: deviation(fold(keys, 0), to_diffusion_range(x))))
    norms: list[float] = []
    for batch in batches:
        rows = global_rows(mesh, batch)
        found = measure(deviation, sample_keys(jax.random.key(seed), rows["id"]), rows["image"])
        norms += on_every_host(found)[on_every_host(rows["mask"])].tolist()
    return tuple(norms)
