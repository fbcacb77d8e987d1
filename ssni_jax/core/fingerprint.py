"""The identity of a network: one hash of its parameters, wherever they came from and whatever they are called."""

import hashlib

import jax
import numpy as np

from ssni_jax.core.types import Tree


def fingerprint(network: Tree) -> str:
    """Its own `fingerprint` attribute if it has one (a stored network knows its hash), else a hash of its arrays.

    Arrays count as a multiset of shapes and float32 bytes: names, order and scalars do not matter, so a stored
    dictionary, a module's state and the denoiser around it agree.
    """
    known = getattr(network, "fingerprint", None)
    if isinstance(known, str):
        return known
    marks = sorted(_mark(np.asarray(leaf)) for leaf in jax.tree.leaves(network) if np.ndim(leaf) > 0)
    return hashlib.sha256("".join(marks).encode()).hexdigest()


def _mark(array: np.ndarray) -> str:
    content = np.ascontiguousarray(array, dtype=np.float32).tobytes()
    return hashlib.sha256(f"{array.shape}".encode() + content).hexdigest()
