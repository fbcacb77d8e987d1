"""One typed key per sample: row i's randomness follows from the root seed and its sample id, never from its batch."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ssni_jax.core.types import Images, Keys

N_SEEDS = 2**32  # larger ones would mean the same as smaller ones, and so would negative ones


def root_key(seed: int) -> Key[Array, ""]:
    """The key that all others of an experiment follow from."""
    return jax.random.key(checked_seed(seed))


def checked_seed(seed: int, name: str = "seed") -> int:
    """The seed, if JAX and NumPy tell it from every other one."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < N_SEEDS:
        raise ValueError(f"{name} must be a whole number from 0 to {N_SEEDS - 1}, got {seed}.")
    return int(seed)


def sample_keys(root: Key[Array, ""], ids: Int[Array, " B"]) -> Keys:
    """Keys of the samples `ids`: `fold_in(root, id)` each."""
    return jax.vmap(jax.random.fold_in, (None, 0))(root, ids)


def fold(keys: Keys, draw: Int[Array, "*s"] | int) -> Keys:
    """Keys of draw number `draw` (one for all, or one per row) of every sample."""
    draw = jnp.broadcast_to(jnp.asarray(draw), keys.shape)
    return jax.vmap(jax.random.fold_in)(keys, draw)


def normal_like(keys: Keys, x: Images) -> Images:
    """Standard normal noise in the shape of `x`; row i drawn from key i alone."""
    return jax.vmap(lambda key: jax.random.normal(key, x.shape[1:], x.dtype))(keys)


def uniform_like(keys: Keys, x: Images) -> Float[Array, "B ..."]:
    """Uniform noise in [-1, 1] in the shape of `x`; row i drawn from key i alone."""
    return jax.vmap(lambda key: jax.random.uniform(key, x.shape[1:], x.dtype, -1.0, 1.0))(keys)
