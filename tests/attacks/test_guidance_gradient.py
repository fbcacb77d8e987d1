"""The gradient through GDMP's guidance is the slope of the whole pipeline, and leaving it out is another gradient.

Guidance is itself a gradient, so that this one is of second order, and the input reaches the result by two more paths:
through the state that is compared, and through the reference it is compared with (arXiv:2411.16598, flaw 4).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import Margin
from ssni_jax.core.pytree import pytree
from ssni_jax.evals.gradient_check import Case, slopes
from ssni_jax.purify import Chain, Defense
from tests.kit import SHAPE, Linear, bases, images, keys, with_leaves
from tests.masked import CutGuidance

B = 6
CASE = Case(keys(B), images(B), jnp.arange(B) % 5, Margin())
STRONGER = {"gdmp": 12, "gdmp_ssim": 1}  # the kit's images have 12 values, of which a mean takes a larger share
CLASSIFY = Linear(np.random.default_rng(0).normal(size=(int(np.prod(SHAPE)), 5)).astype(np.float32))


@pytree
class WithoutReference:
    """The same guidance with a gradient through the state, but none through the reference."""

    guide: Any

    def __call__(self, denoise, keys, reference):
        return self.guide(denoise, keys, jax.lax.stop_gradient(reference))


def guided(name, change=lambda guide: guide):
    """The recipe at the published strength per pixel, with the guide towards its input changed: the last of several."""
    purify = with_leaves(bases()[name], guide_scale=lambda scale: STRONGER[name] * scale)
    (round,) = purify.rounds
    *others, towards = getattr(round.guide, "guides", (round.guide,))
    changed = dataclasses.replace(round, guide=Chain((*others, change(towards))))
    return Defense(dataclasses.replace(purify, rounds=(changed,)), CLASSIFY)


@pytest.mark.parametrize("name", ["gdmp", pytest.param("gdmp_ssim", marks=pytest.mark.slow)])
def test_the_gradient_through_the_guide_is_the_slope_of_the_whole_pipeline(name):
    assert slopes("exact", CASE, guided(name), n_directions=2).error < 2e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cut"), [("gdmp", CutGuidance), ("gdmp", WithoutReference), ("gdmp_ssim", CutGuidance)]
)
def test_a_gradient_that_leaves_out_the_guide_or_its_reference_is_not(name, cut):
    assert slopes("cut", CASE, guided(name, cut), n_directions=2).error > 0.03
