"""Recorded noise in place of ours: a key remembers by which folds it was made, and a draw is looked up by them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.core.types import Keys

Path = tuple[int, ...]
DIGIT = 8


@contextmanager
def recorded(noise: jax.Array, paths: Iterable[Path]) -> Iterator[None]:
    """Within, normal draw `paths[j]` is `noise[j]`, and any other draw is NaN; trace and run what draws inside.

    A path is the folds that lead from a `rows` key to the draw: it holds under a scan, which traces its body once.
    """
    codes = jnp.asarray([code(path) for path in paths], jnp.uint32)
    if codes.shape != noise.shape[:1]:
        raise ValueError(f"{len(noise)} recorded draws cannot serve {len(codes)} paths")

    def normal(key, shape, dtype=jnp.float32):
        row, path = jax.random.key_data(key)
        known = codes == path
        return jnp.where(jnp.any(known), noise[jnp.argmax(known), row].astype(dtype).reshape(shape), jnp.nan)

    with mock.patch.object(jax.random, "fold_in", fold_in), mock.patch.object(jax.random, "normal", normal):
        yield


def rows(n: int) -> Keys:
    """Keys of rows 0 to n - 1 that have not been folded."""
    return jax.random.wrap_key_data(jnp.stack([jnp.arange(n), jnp.zeros(n, int)], axis=1).astype(jnp.uint32))


def fold_in(key, data):
    """The key's row, and its path with one more fold."""
    row, path = jax.random.key_data(key)
    longer = (path << DIGIT) | ((jnp.asarray(data).astype(jnp.uint32) + 1) & 0xFF)
    return jax.random.wrap_key_data(jnp.stack([row, longer]))


def code(path: Path) -> np.uint32:
    """A path of at most four folds below 255 as a number."""
    return np.uint32(sum((fold + 1) << (DIGIT * place) for place, fold in enumerate(reversed(path))))


def purification(steps: Iterable[int]) -> list[Path]:
    """The draws of a purifier whose rounds have so many steps: of each round, the forward noise and one a step."""
    return [(1 + i, 0, *rest) for i, n in enumerate(steps) for rest in [(0,), *((2, j) for j in range(n))]]
