"""Networks on disk."""

from ssni_jax.convert.store import read_about, read_arrays, save_network

__all__ = ["read_about", "read_arrays", "save_network"]
