"""Noising and the differentiable solver: one scan over the steps of a grid, per-sample levels in every row."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

from ssni_jax.core.arrays import choose_rows, over
from ssni_jax.core.protocols import Step
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.core.types import DenoiseFn, Images, Keys, Level, Levels, State

IDLE_HI, IDLE_LO = 1.0, 0.5


def diffuse(keys: Keys, x: Images, sigma: Level) -> Images:
    """x + sigma * n, the unscaled forward process."""
    return x + over(sigma, x) * normal_like(keys, x)


def solve(keys: Keys, denoise: DenoiseFn, step: Step, x: State, levels: Levels, *, segment: int = 1) -> State:
    """Walks every sample down its own column of noise `levels`; exact gradients at one network's activations of memory.

    `x` is what the step moves: images, or what a step that remembers has made of them.

    A zero-length step is the identity and is decided here, once. Its network call still happens (a scan has one
    shape), on harmless noise; `ragged.solve` spares it. Reverse mode keeps one state per step, or with `segment`
    steps per segment one per segment and one per step of a single one, for one more forward pass (Chen et al. 2016).
    """

    def body(x, row):
        index, hi, lo = row
        return advance(fold(keys, index), denoise, step, x, (hi, lo)), None

    scan = lambda x, rows: jax.lax.scan(jax.checkpoint(body), x, rows)  # noqa: E731
    rows = (jnp.arange(levels.shape[0] - 1), levels[:-1], levels[1:])
    if segment == 1:
        return scan(x, rows)[0]
    return jax.lax.scan(jax.checkpoint(scan), x, jax.tree.map(lambda v: _folded(v, segment), rows))[0]


def square_root_segment(n_steps: int) -> int:
    """Steps a segment with about the fewest kept states, 2 sqrt(n); near the root, the one that pads least."""
    root = math.sqrt(n_steps)
    near = range(max(1, math.ceil(root / 1.5)), math.ceil(1.5 * root) + 1)
    return min(near, key=lambda segment: (-n_steps % segment, abs(segment - root)))


def _folded(rows: Shaped[Array, "N ..."], segment: int) -> Shaped[Array, "M S ..."]:
    """Rows by segments, the last one filled with zeros: as steps they go from noise zero to zero, the identity."""
    padding = [(0, -len(rows) % segment), *[(0, 0)] * (rows.ndim - 1)]
    return jnp.pad(rows, padding).reshape(-1, segment, *rows.shape[1:])


def advance(keys: Keys, denoise: DenoiseFn, step: Step, x: State, ends: tuple[Level, Level]) -> State:
    """One step where `hi` differs from `lo`, the identity elsewhere.

    The mask is `hi == lo`, not `hi > lo`: a NaN level must show, and `>` would skip it.
    """
    hi, lo = ends
    idle = hi == lo
    moved = step(keys, denoise, x, jnp.where(idle, IDLE_HI, hi), jnp.where(idle, IDLE_LO, lo))
    return choose_rows(idle, x, moved)
