"""Released checkpoints read and turned into our networks; networks on disk."""

from ssni_jax.convert.placing import Place, place
from ssni_jax.convert.reader import read_checkpoint
from ssni_jax.convert.reading import nonfinite
from ssni_jax.convert.store import read_about, read_arrays, save_network, stored_file

__all__ = [
    "Place",
    "nonfinite",
    "place",
    "read_about",
    "read_arrays",
    "read_checkpoint",
    "save_network",
    "stored_file",
]
