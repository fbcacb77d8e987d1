"""Randomized smoothing over a mesh: votes counted on the devices, and what purification does to noised images."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int

from ssni_jax.certify import Draws, count_rows, draw_keys, noised
from ssni_jax.certify.smooth import PREDICTION, SELECTION
from ssni_jax.core.arrays import row_norm, to_diffusion_range
from ssni_jax.core.protocols import Distance, Predict
from ssni_jax.core.rng import fold
from ssni_jax.core.types import Images, Level, PredictFn
from ssni_jax.dist import by_rows, rows, whole
from ssni_jax.evals.quality import psnr, ssim
from ssni_jax.evals.sharing import SharedJit

Tallies = Int[Array, "D T K"]
Count = Callable[[Any, Draws, Tallies, tuple[int, int]], Tallies]


class Programs(NamedTuple):
    """The compiled functions of a certification."""

    mesh: Mesh
    batch_size: int
    count: Count
    total: Callable[[Tallies], Int[Array, "T K"]]
    measure: Callable[..., "Quality"]


class Quality(NamedTuple):
    """One purified draw of each image against the clean image; `transport` and L2 in [0, 1], `distance` as given."""

    transport: Level
    distance: Level
    psnr: Level
    ssim: Level
    n_calls: Level


@functools.cache
def make_programs(mesh: Mesh, batch_size: int) -> Programs:
    """All programs for batches of `batch_size` draws over the mesh; certifications that share both compile once."""
    return Programs(mesh, batch_size, make_count(mesh, batch_size), make_total(mesh), make_measure(mesh))


def make_count(mesh: Mesh, batch_size: int) -> Count:
    """A jitted `(predict, draws, tallies, (start, stop)) -> tallies` that adds the votes of those batches of rows.

    Every device has tallies of its own, [T, K] as `count_rows`, which are given away; nothing is communicated, and
    nothing is larger than one batch, however many draws there are.
    """
    n_devices = mesh.shape["data"]
    if batch_size % n_devices:
        raise ValueError(f"batch_size={batch_size} does not divide over {n_devices} devices; choose a multiple.")
    n_rows = batch_size // n_devices

    def part(task: Any, device: Int[Array, " 1"], tallies: Tallies) -> Tallies:
        predict, draws, (start, stop) = task

        def batch(i, counts):
            numbers = (i * n_devices + device) * n_rows + jnp.arange(n_rows)
            return count_rows(predict, draws, counts, numbers)

        return jax.lax.fori_loop(start, stop, batch, tallies[0])[None]

    def count(predict: PredictFn, draws: Draws, tallies: Tallies, batches: tuple[Any, Any]) -> Tallies:
        return by_rows(mesh, part)((predict, draws, batches), jnp.arange(n_devices), tallies)

    return SharedJit(count, donate=(2,))


def empty_tallies(mesh: Mesh, n_tallies: int, n_columns: int) -> Tallies:
    """No votes yet, on every device."""
    shape = (mesh.shape["data"], n_tallies, n_columns)
    zeros = np.zeros(shape, np.int32)
    return jax.make_array_from_callback(shape, rows(mesh), lambda index: zeros[index])


def make_total(mesh: Mesh) -> Callable[[Tallies], Int[Array, "T K"]]:
    """A jitted sum of the tallies of all devices, the same on every process."""
    return jax.jit(lambda tallies: jnp.sum(tallies, axis=0), out_shardings=whole(mesh))


def make_measure(mesh: Mesh) -> Callable[..., Quality]:
    """A jitted `(predict, distance, draws, number) -> Quality` of selection draw `number` of each image.

    It is the very draw that votes. The images are as many as the devices or a multiple; a distance of None gives NaN.
    """

    def part(task: Any, ids: Int[Array, " B"], x: Images, sigma: Level) -> Quality:
        predict, distance, root, number = task
        keys = draw_keys(root, ids, SELECTION, number)
        trace = predict.trace(fold(keys, PREDICTION), noised(keys, x, sigma))
        image = trace.image
        far = to_diffusion_range(image), to_diffusion_range(x)
        named = jnp.full(ids.shape, jnp.nan) if distance is None else distance(*far)
        return Quality(row_norm(image - x), named, psnr(image, x), ssim(image, x), trace.n_calls)

    def measure(predict: Predict, distance: Distance | None, draws: Draws, number: int | Int[Array, ""]) -> Quality:
        task = predict, distance, draws.root, number
        return by_rows(mesh, part)(task, draws.ids, draws.images, draws.sigma)

    return SharedJit(measure, out_shardings=whole(mesh))
