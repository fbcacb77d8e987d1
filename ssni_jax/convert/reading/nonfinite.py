"""Weights that are no numbers."""

from collections.abc import Iterator, Mapping

import numpy as np

from ssni_jax.core.types import Tree


def nonfinite(tree: Tree) -> list[str]:
    """Paths "model/conv/0" of the arrays that hold NaN or an infinity, in the order of the tree."""
    return [path for path, array in _arrays(tree, ()) if array.dtype.kind in "fc" and not np.isfinite(array).all()]


def _arrays(tree: Tree, above: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(tree, np.ndarray):
        yield "/".join(above), tree
    elif isinstance(tree, Mapping | list | tuple):
        for key, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
            yield from _arrays(value, (*above, str(key)))
