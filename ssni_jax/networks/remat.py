"""Gradients in less memory: what a block's backward pass remembers and what it computes again."""

from collections.abc import Callable
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

CONVOLUTION = "convolution"

policies = jax.checkpoint_policies
POLICIES = {
    "blocks": policies.nothing_saveable,
    "dots": policies.save_from_both_policies(policies.dots_saveable, policies.save_only_these_names(CONVOLUTION)),
}
REMAT = ("none", *POLICIES)


def remembering(remat: str, block: Callable[..., Any]) -> Callable[..., Any]:
    """`block` under `jax.checkpoint`: the same values and gradients.

    "none" remembers every intermediate; "blocks" the block's inputs alone, and runs it twice; "dots" also its
    convolutions and matrix products, and computes again only what is cheap: norms, activations, dropout, resampling.
    """
    if remat == "none":
        return block
    fresh = lambda *inputs: block(*inputs)  # noqa: E731  (traces are cached by function, and a module's arrays change)
    return jax.checkpoint(fresh, policy=POLICIES[remat])


def convolved(x: Float[Array, "B _h _w _c"]) -> Float[Array, "B _h _w _c"]:
    """Marks the result of a convolution, which "dots" remembers."""
    return checkpoint_name(x, CONVOLUTION)
