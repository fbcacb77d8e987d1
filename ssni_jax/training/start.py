"""Training that begins with the weights of a stored network."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from ssni_jax.core.types import Tree
from ssni_jax.networks import flat
from ssni_jax.networks.network import unflat
from ssni_jax.training.state import TrainState


def begun_with(state: TrainState, start: Tree) -> TrainState:
    """`state` before its first step, with the weights of `start` where its own stood: parameters and their averages.

    `start` is a network, or a denoiser or classifier around one. Weights lie where those of `state` lay, and the
    optimiser remembers nothing of them. A ValueError lists weights that do not fit.
    """
    stored = flat(getattr(start, "network", start).state)
    unflat(nnx.merge_state(state.params, state.rest), stored)
    parts = {name: getattr(state, name) for name in ("params", "rest", "ema", "target")}
    return dataclasses.replace(state, **{name: _placed(stored, like) for name, like in parts.items()})


def _placed(stored: dict[str, jax.Array], like: Tree) -> Tree:
    """A copy, because the state is donated and `stored` is not."""
    wanted = unflat(like, {name: stored[name] for name in flat(like)})
    place = jax.tree.map(lambda leaf: leaf.sharding, like)
    return jax.jit(lambda tree: jax.tree.map(jnp.copy, tree), out_shardings=place)(wanted)
