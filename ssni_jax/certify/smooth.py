"""Votes of a predictor on noised images, counted row by row: a row is one draw of one image in one phase.

What a row is follows from its number alone: any number of devices may share the rows out in batches of any size.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from ssni_jax.core.arrays import over
from ssni_jax.core.rng import fold, normal_like, sample_keys
from ssni_jax.core.types import Images, Keys, Labels, Level, PredictFn

SELECTION, ESTIMATION = PHASES = (0, 1)
NOISE, PREDICTION = range(2)

Counts = Int[Array, "T K"]


class Draws(NamedTuple):
    """What is to be drawn: for image i in phase p the draws first[p, i] ... first[p, i] + n[p, i] - 1.

    Images are in [0, 1], and so is `sigma`; `ids` and `root` decide the noise.
    """

    root: Key[Array, ""]
    ids: Int[Array, " M"]
    images: Images
    sigma: Level
    first: Int[Array, "P M"]
    n: Int[Array, "P M"]


def count_rows(predict: PredictFn, draws: Draws, counts: Counts, rows: Int[Array, " B"]) -> Counts:
    """`counts` and one vote more for each row: T = P M tallies, phase by phase, of K - 1 classes.

    The last column is of rows with a NaN or infinite logit, which vote for nobody. Rows beyond the last draw are idle.
    """
    tally, draw = _places(draws, rows)
    known = jnp.minimum(tally, draws.n.size - 1)
    phase, image = known // len(draws.ids), known % len(draws.ids)
    keys = draw_keys(draws.root, draws.ids[image], phase, draw)
    votes = vote(predict, keys, noised(keys, draws.images[image], draws.sigma[image]))
    return counts.at[tally, votes].add(1, mode="drop")


def vote(predict: PredictFn, keys: Keys, x: Images) -> Labels:
    """The class of each noised image, or the number of classes where a logit is not finite."""
    logits = predict(fold(keys, PREDICTION), x)
    return jnp.where(jnp.all(jnp.isfinite(logits), axis=1), jnp.argmax(logits, axis=1), logits.shape[1])


def draw_keys(
    root: Key[Array, ""], ids: Int[Array, " B"], phase: Int[Array, "*p"] | int, draw: Int[Array, "*d"] | int
) -> Keys:
    """The key of one draw: from root seed, image, phase and number of the draw, and of nothing else.

    Sigma is left out: every noise level and every method sees the same directions, so that their differences are not
    those of luck, and adding a level changes no other's counts. Each certificate is valid by itself.
    """
    return fold(fold(sample_keys(root, ids), phase), draw)


def noised(keys: Keys, x: Images, sigma: Level) -> Images:
    """x + sigma n in the [0, 1] range, not clipped: the noise that the radius speaks of."""
    return x + over(sigma, x) * normal_like(fold(keys, NOISE), x)


def _places(draws: Draws, rows: Int[Array, " B"]) -> tuple[Int[Array, " B"], Int[Array, " B"]]:
    """Tally and draw number of each row; tally P M of an idle one."""
    n, first = draws.n.ravel(), draws.first.ravel()
    ends = jnp.cumsum(n)
    tally = jnp.searchsorted(ends, rows, side="right")
    known = jnp.minimum(tally, n.size - 1)
    return tally, first[known] + rows - (ends - n)[known]
