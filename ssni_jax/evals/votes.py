"""The votes that a certificate takes, drawn look by look: devices count, the host decides who needs more."""

import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from ssni_jax.certify import Draws, Stopping
from ssni_jax.certify.smooth import PHASES
from ssni_jax.core.rng import sample_keys
from ssni_jax.core.types import PredictFn
from ssni_jax.evals.smoothing import Programs, Tallies, empty_tallies

BLOCK = 64  # batches that the host waits for at a time


class DrawPlan(NamedTuple):
    """How many draws, and how sure."""

    n_selection: int
    n_estimation: int
    alpha: float
    stopping: Stopping


class Group(NamedTuple):
    """Images in [0, 1] whose draws share batches; masked-out rows are padding and receive no draws."""

    root: Key[Array, ""]
    ids: Int[np.ndarray, " B"]
    images: Float[np.ndarray, "B H W C"]
    mask: Bool[np.ndarray, " B"]
    sigma: float
    labels: Int[np.ndarray, " B"]

    def draws(self, first: Int[np.ndarray, "P B"], n: Int[np.ndarray, "P B"]) -> Draws:
        """`n` draws of each phase and image from `first` on."""
        sigma = np.full(len(self.ids), self.sigma, np.float32)
        return Draws(self.root, *map(jnp.asarray, (self.ids, self.images, sigma, first, n)))


class Votes(NamedTuple):
    """Votes for each class, draws that were invalid, and at every look the draws made and their votes for the chosen.

    A look that was not taken has 0 of 0.
    """

    selection: Int[np.ndarray, "B K"]
    estimation: Int[np.ndarray, "B K"]
    n_invalid: Int[np.ndarray, " B"]
    looks: Int[np.ndarray, "B L"]
    chosen: Int[np.ndarray, "B L"]


def collect(programs: Programs, predict: PredictFn, group: Group, plan: DrawPlan) -> Votes:
    """All the votes of a group: the selection, and the estimation until it is over for every image.

    An image with an invalid draw is over at once, since it abstains.
    """
    looks = plan.stopping.looks_at(plan.n_estimation)
    n_images, share = len(group.ids), plan.alpha / len(looks)
    tallies = empty_tallies(programs.mesh, len(PHASES) * n_images, 1 + n_classes(predict, group))
    drawn, seen = np.zeros((2, n_images), np.int32), np.zeros((2, n_images, len(looks)), np.int32)
    counts, wanted = np.zeros(0, np.int32), group.mask
    for index, until in enumerate(looks):
        target = np.stack([np.where(group.mask, plan.n_selection, 0), np.where(wanted, until, drawn[1])])
        extra = (target - drawn).astype(np.int32)
        tallies = add_votes(programs, predict, group.draws(drawn, extra), tallies)
        drawn = drawn + extra
        counts = np.asarray(programs.total(tallies)).reshape(len(PHASES), n_images, -1)
        votes = np.take_along_axis(counts[1], np.argmax(counts[0, :, :-1], axis=1)[:, None], axis=1)[:, 0]
        seen[:, wanted, index] = drawn[1, wanted], votes[wanted]
        over = plan.stopping.is_over(votes, drawn[1], group.sigma, share) | np.any(counts[..., -1] > 0, axis=0)
        wanted = wanted & ~over
        if not wanted.any():
            break
    return Votes(counts[0, :, :-1], counts[1, :, :-1], counts[..., -1].sum(axis=0), *seen)


def add_votes(programs: Programs, predict: PredictFn, draws: Draws, tallies: Tallies) -> Tallies:
    """The tallies and the votes of `draws`, a block of batches at a time; the host waits between blocks alone."""
    n_batches = -(-int(draws.n.sum()) // programs.batch_size)
    for start in range(0, n_batches, BLOCK):
        stop = min(start + BLOCK, n_batches)
        tallies = jax.block_until_ready(programs.count(predict, draws, tallies, (start, stop)))
    return tallies


def n_classes(predict: PredictFn, group: Group) -> int:
    """How many logits the predictor gives."""
    shape = jax.eval_shape(lambda p, x: p(sample_keys(group.root, jnp.zeros(1, int)), x), predict, group.images[:1])
    return shape.shape[1]


def warm_up(programs: Programs, predict: PredictFn, group: Group) -> float:
    """Compiles the counting for this predictor and shape; returns the seconds per draw of one batch."""
    none = np.zeros((len(PHASES), len(group.ids)), np.int32)
    tallies = empty_tallies(programs.mesh, none.size, 1 + n_classes(predict, group))
    tallies = programs.count(predict, group.draws(none, none), tallies, (0, 0))
    jax.block_until_ready(programs.total(tallies))
    start = time.perf_counter()
    jax.block_until_ready(programs.count(predict, group.draws(none, none), tallies, (0, 1)))
    return (time.perf_counter() - start) / programs.batch_size
