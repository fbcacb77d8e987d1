"""Everything a training step changes, as one pytree."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Int

from ssni_jax.core.pytree import pytree
from ssni_jax.core.types import Tree


@pytree
class TrainState:
    """Parameters, the module's other state (batch statistics), averaged parameters, optimiser state, steps done.

    `target` is the average that a loss compares with (`StagedLoss`), or None.
    """

    params: Tree
    rest: Tree
    ema: Tree
    opt_state: Tree
    step: Int[Array, ""]
    target: Tree = None


def make_state(
    module: nnx.Module, tx: optax.GradientTransformation, keeps_target: bool = False
) -> tuple[nnx.GraphDef, TrainState]:
    """The structure of `module` and its state before the first step."""
    graphdef, params, rest = nnx.split(module, nnx.Param, ...)
    ema = jax.tree.map(jnp.array, params)  # a copy: one buffer in two places cannot be donated
    target = jax.tree.map(jnp.array, params) if keeps_target else None
    return graphdef, TrainState(params, rest, ema, tx.init(params), jnp.zeros((), jnp.int32), target)


def init_state(
    build: Callable[[], nnx.Module],
    tx: optax.GradientTransformation,
    place: Callable[[Tree], Tree] | None = None,
    keeps_target: bool = False,
) -> tuple[nnx.GraphDef, TrainState]:
    """`make_state(build(), tx)` compiled as one program, each array made where `place(shapes)` wants it.

    Much quicker than an eager initialisation, and no device ever holds the whole of a sharded state.
    """

    def init():
        return make_state(build(), tx, keeps_target)[1]

    shardings = None if place is None else place(jax.eval_shape(init))
    return nnx.graphdef(nnx.eval_shape(build)), jax.jit(init, out_shardings=shardings)()


def averaged(graphdef: nnx.GraphDef, state: TrainState) -> nnx.Module:
    """The module with its averaged parameters: what is evaluated and released."""
    return nnx.merge(graphdef, state.ema, state.rest)
