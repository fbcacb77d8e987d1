"""Square attack (Andriushchenko et al. 2020, arXiv:1912.00049): random search over squares, from loss values alone."""

from functools import singledispatch
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ssni_jax.attacks.attack import Attacked
from ssni_jax.attacks.best import Best, better, unbeaten
from ssni_jax.attacks.objective import Objective
from ssni_jax.attacks.threats import L1, L2, Linf, Threat
from ssni_jax.attacks.windows import Window, random_signs, random_window, tiles
from ssni_jax.core.arrays import over
from ssni_jax.core.bounds import bounded
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold
from ssni_jax.core.types import Images, Keys, Labels

HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # queries after which the share of pixels is halved
SCHEDULED = 10_000  # queries for which that schedule was made
PROPOSALS = 1 << 20  # beyond every iteration that the keys are folded with
SQUARED, FOURTH = 2, 4  # exponents of the patterns' decay
TINY = 1e-12


class SquareState(NamedTuple):
    """The image with the highest loss, and the draws evaluated."""

    best: Best
    n_queries: Int[Array, " B"]


@pytree
class Square:
    """`n_queries` proposals, each another random square at its own place in every row, kept where they raise the loss.

    `p_init` is the share of the pixels that the first squares cover; it halves after 10, 50, 200, 500, ... queries,
    rescaled to `n_queries` if asked to. Use `Margin` as the loss. A row whose draws are all wrong is left alone.
    """

    threat: Threat = Linf()
    n_queries: int = static(default=5000)
    p_init: float = bounded(0, 1, above=True, default=0.8)
    rescaled: bool = static(default=False)

    def __post_init__(self):
        if self.n_queries < 1:
            raise ValueError(f"Square needs at least one query, got n_queries={self.n_queries}.")

    @property
    def n_iterations(self) -> int:
        return self.n_queries

    def init(
        self, keys: Keys, objective: Objective, x: Images, y: Labels, *, start: Images | None = None
    ) -> SquareState:
        first = begin(self.threat, fold(keys, PROPOSALS), x) if start is None else start
        return SquareState(unbeaten(first), jnp.zeros(len(x), jnp.int32))

    def update(self, keys: Keys, i: Any, objective: Objective, state: SquareState, x: Images, y: Labels) -> SquareState:
        proposals = fold(fold(keys, PROPOSALS), 1 + i)
        proposed = propose(self.threat, proposals, state.best.image, x, self._share(i))
        proposed = jnp.where(i == 0, state.best.image, proposed)
        loss, broken = objective.evaluate(objective.draw_keys(keys, i), proposed, y).mean()
        stands = state.best.broken < 1
        best = better(state.best, proposed, loss, broken, valid=stands)
        return SquareState(best, state.n_queries + jnp.where(stands, objective.n_draws, 0))

    def result(self, state: SquareState) -> Attacked:
        return Attacked(*state.best, state.n_queries)

    def _share(self, i: Any) -> Float[Array, ""]:
        """The share of the pixels that a square covers in iteration i."""
        at = i * SCHEDULED // self.n_queries if self.rescaled else i
        return self.p_init / 2.0 ** jnp.sum(at > jnp.asarray(HALVED_AFTER))


@singledispatch
def begin(threat: Any, keys: Keys, x: Images) -> Images:
    """The first image of a threat model's search."""
    raise ValueError(f"Square knows no squares for {type(threat).__name__}: use Linf, L2 or L1.")


@singledispatch
def propose(threat: Any, keys: Keys, best: Images, x: Images, share: Any) -> Images:
    """`best` with another square, which covers this share of the pixels."""
    raise ValueError(f"Square knows no squares for {type(threat).__name__}: use Linf, L2 or L1.")


@begin.register
def _(threat: Linf, keys: Keys, x: Images) -> Images:
    """Vertical stripes."""
    return threat.project(x + threat.eps * random_signs(keys, (1, x.shape[2], x.shape[3])), x)


@propose.register
def _(threat: Linf, keys: Keys, best: Images, x: Images, share: Any) -> Images:
    """All pixels of a square move to one side of the cube, by channel."""
    side = jnp.clip(_side(x, share), 1, min(x.shape[1:3]))
    window = random_window(fold(keys, 0), side, x).mask
    return threat.project(best + 2 * threat.eps * window * random_signs(fold(keys, 1), (1, 1, x.shape[3])), x)


@begin.register
def _(threat: L2, keys: Keys, x: Images) -> Images:
    """Tiles of the pattern that squares have too."""
    change = tiles(keys, x, SQUARED)
    return jnp.clip(x + over(threat.eps / threat.norm(change), x) * change, 0.0, 1.0)


@propose.register
def _(threat: L2, keys: Keys, best: Images, x: Images, share: Any) -> Images:
    """The norm of one square is given to the pattern in another, and what the ball leaves as well."""
    change = best - x
    window, other = _two_windows(keys, share, x)
    left = jnp.maximum(threat.eps**2 - threat.norm(change) ** 2, 0.0) / x.shape[3]
    both = jnp.maximum(window.mask, other.mask)
    energy = over(left, x) + jnp.sum((both * change) ** 2, axis=(1, 2), keepdims=True)
    pattern = window.pattern(SQUARED) * random_signs(fold(keys, 3), (1, 1, x.shape[3]))
    pattern += _unit(window.mask * change)
    moved = jnp.where(window.mask > 0, jnp.sqrt(energy) * _unit(pattern), (1 - both) * change)
    return jnp.clip(x + over(threat.eps / (threat.norm(moved) + TINY), x) * moved, 0.0, 1.0)


@begin.register
def _(threat: L1, keys: Keys, x: Images) -> Images:
    """Tiles of a steeper pattern."""
    change = tiles(keys, x, FOURTH)
    return threat.project(x + over(threat.eps / threat.norm(change), x) * change, x)


@propose.register
def _(threat: L1, keys: Keys, best: Images, x: Images, share: Any) -> Images:
    """As in the L2 ball, with sums of absolute values."""
    change = best - x
    window, other = _two_windows(keys, share, x)
    left = jnp.maximum(threat.eps - threat.norm(change), 0.0) / x.shape[3]
    both = jnp.maximum(window.mask, other.mask)
    amount = over(left, x) + jnp.sum(jnp.abs(both * change), axis=(1, 2), keepdims=True)
    pattern = window.pattern(FOURTH) * random_signs(fold(keys, 3), (1, 1, x.shape[3]))
    pattern += _summing_to_one(window.mask * change)
    moved = jnp.where(window.mask > 0, amount * _summing_to_one(pattern), (1 - both) * change)
    return threat.project(x + over(threat.eps / (threat.norm(moved) + TINY), x) * moved, x)


def _two_windows(keys: Keys, share: Any, x: Images) -> tuple[Window, Window]:
    """Two windows of one odd side, at places of their own."""
    side = jnp.maximum(_side(x, share), 3)
    largest = min(x.shape[1:3])
    side = jnp.minimum(side + (side + 1) % 2, largest - (largest + 1) % 2)
    return random_window(fold(keys, 0), side, x), random_window(fold(keys, 1), side, x)


def _side(x: Images, share: Any) -> Int[Array, ""]:
    """The side of a square that covers this share of the pixels."""
    return jnp.round(jnp.sqrt(share * np.prod(x.shape[1:3]))).astype(jnp.int32)


def _unit(change: Images) -> Images:
    """Every channel divided by its Euclidean norm."""
    return change / (jnp.sqrt(jnp.sum(change**2, axis=(1, 2), keepdims=True)) + TINY)


def _summing_to_one(change: Images) -> Images:
    """Every channel divided by the sum of its absolute values."""
    return change / (jnp.sum(jnp.abs(change), axis=(1, 2), keepdims=True) + TINY)
