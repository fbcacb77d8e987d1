"""Adam (Kingma & Ba 2015, algorithm 1) on images: every operation is elementwise, so that rows stay apart."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ssni_jax.core.arrays import safe_sqrt
from ssni_jax.core.types import Tree

B1, B2, EPS = 0.9, 0.999, 1e-8


class AdamMoments(NamedTuple):
    """Decaying averages of the gradient and of its square."""

    mean: Tree
    square: Tree


def no_moments(parameters: Tree) -> AdamMoments:
    """The averages before the first step."""
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    return AdamMoments(zeros, zeros)


def adam_step(moments: AdamMoments, gradient: Tree, i: Any) -> tuple[Tree, AdamMoments]:
    """The direction of iteration i, counted from 0, to be multiplied by the learning rate, and the new averages.

    Rows may be at different iterations: `i` broadcasts to the gradient. Differentiable, also where a gradient is zero.
    """
    mean = jax.tree.map(lambda m, g: B1 * m + (1 - B1) * g, moments.mean, gradient)
    square = jax.tree.map(lambda v, g: B2 * v + (1 - B2) * jnp.square(g), moments.square, gradient)
    unbiased_mean, unbiased_square = 1 - B1 ** (i + 1.0), 1 - B2 ** (i + 1.0)

    def direction(m: Any, v: Any) -> Any:
        return (m / unbiased_mean) / (safe_sqrt(v / unbiased_square) + EPS)

    return jax.tree.map(direction, mean, square), AdamMoments(mean, square)
