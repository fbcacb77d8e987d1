"""The same function with every checkpoint and hand-written gradient taken out, for checking gradients against."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core

INLINED = {"remat2": "jaxpr", "custom_vjp_call": "call_jaxpr"}


def plain(function: Callable[..., Any], *examples: Any) -> Callable[..., Any]:
    """`function` for arguments shaped as `examples`, differentiated by JAX's own rules alone.

    Loops keep every intermediate value of every step, and convolutions have JAX's derivative: the same values, slower
    gradients, and memory that grows by a whole network a step.
    """
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*examples)
    bare = stripped(closed)

    def call(*arguments: Any) -> Any:
        values = core.jaxpr_as_fun(bare)(*jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), values)

    return call


def stripped(closed: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """The program with checkpoints and custom gradients replaced by what they compute, in loops and branches too."""
    avals = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in closed.jaxpr.invars]
    return jax.make_jaxpr(lambda *arguments: _run(closed.jaxpr, closed.consts, arguments))(*avals)


def _run(jaxpr: core.Jaxpr, consts: Any, arguments: Any) -> list[Any]:
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *arguments), strict=True))

    def read(v: Any) -> Any:
        return v.val if isinstance(v, core.Literal) else known[v]

    for equation in jaxpr.eqns:
        values = _apply(equation, [read(v) for v in equation.invars])
        known.update(zip(equation.outvars, values, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _apply(equation: Any, inputs: list[Any]) -> list[Any]:
    inside = equation.params.get(INLINED.get(equation.primitive.name, ""))
    if inside is not None:
        return _run(getattr(inside, "jaxpr", inside), getattr(inside, "consts", ()), inputs)
    params = {name: _stripped_parameter(value) for name, value in equation.params.items()}
    params = equation.primitive.get_bind_params(params)
    values = equation.primitive.bind(*inputs, **params)
    return list(values) if equation.primitive.multiple_results else [values]


def _stripped_parameter(value: Any) -> Any:
    if isinstance(value, core.ClosedJaxpr):
        return stripped(value)
    if isinstance(value, tuple) and value and all(isinstance(item, core.ClosedJaxpr) for item in value):
        return tuple(map(stripped, value))
    return value
