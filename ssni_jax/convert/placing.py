"""From a stored network to devices: every parameter goes from the file to where it will lie."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding

from ssni_jax.convert.store import Weights
from ssni_jax.core.types import Tree
from ssni_jax.networks.network import flat, unflat

Place = Sharding | Callable[[Tree], Tree] | None


def place(weights: Weights, shapes: Tree, sharding: Place = None) -> Tree:
    """The weights as float32 arrays in the structure of `shapes`, which `abstract` gives.

    `sharding` is one for all arrays, such as `whole(mesh)`, or a function from `shapes` to a sharding for each, such as
    `partial(sharded_over_data, mesh)`; every device then reads its own slices only. With None the arrays are on the
    default device and not bound to it. A ValueError names weights that do not fit, before any is read.
    """
    unflat(shapes, {name: jax.ShapeDtypeStruct(weights.shape(name), jnp.float32) for name in weights})
    names = flat(shapes)
    if sharding is None:
        return unflat(shapes, {name: jnp.asarray(weights.part(name, ()), jnp.float32) for name in names})
    homes = dict.fromkeys(names, sharding) if isinstance(sharding, Sharding) else flat(sharding(shapes))
    return unflat(shapes, {name: _placed(weights, name, homes[name]) for name in names})


def _placed(weights: Weights, name: str, home: Sharding) -> jax.Array:
    def read(index: tuple[slice, ...] | None) -> np.ndarray:
        return weights.part(name, index or ()).astype(np.float32, copy=False)

    return jax.make_array_from_callback(weights.shape(name), home, read, dtype=jnp.float32)
