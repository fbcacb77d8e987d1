"""Memory that a function needs, told from its shapes without compiling it.

It is the largest sum of values that are alive at once, if a chain of elementwise operations is one operation, as
compilers fuse it. It is an estimate: layouts, padding and the compiler's own copies are not in it.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

MATERIALISED = frozenset(
    (
        *("conv_general_dilated", "dot_general", "scan", "while", "cond", "sort", "gather", "scatter", "scatter-add"),
        *("cumsum", "reduce_window_sum", "concatenate", "dynamic_update_slice", "random_bits", "threefry2x32"),
    )
)


def temporary_bytes(function: Callable[..., Any], *args: Any) -> tuple[int, Any]:
    """Bytes that the function's own values take at most, without its arguments, and the shapes of its results."""
    program, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
    return _peak(program.jaxpr), shapes


def _peak(jaxpr: Jaxpr) -> int:
    """The largest sum of bytes of values made in a program that are alive at once."""
    last, fused = _last_uses(jaxpr), _fused(jaxpr)
    own = {variable for equation in jaxpr.eqns for variable in equation.outvars}
    alive: dict[Any, int] = {}
    now = most = 0
    for number, equation in enumerate(jaxpr.eqns):
        inside = max(map(_peak, _inner(equation)), default=0)
        most = max(most, now + inside)
        for variable in _read(equation):
            if last.get(variable) == number and variable in alive and equation.primitive.name not in MATERIALISED:
                now -= alive.pop(variable)  # an elementwise operation may write where it read
        for variable in equation.outvars:
            if variable in last and variable in own and variable not in fused:
                alive[variable] = _bytes(variable)
                now += alive[variable]
        most = max(most, now)
        for variable in [v for v in alive if last.get(v, -1) <= number]:
            now -= alive.pop(variable)
    return most


def _last_uses(jaxpr: Jaxpr) -> dict[Any, int]:
    """The number of the last equation that reads a value; a value that only a fused one reads lives as long as that."""
    last: dict[Any, int] = {}
    for number, equation in enumerate(jaxpr.eqns):
        last.update(dict.fromkeys(_read(equation), number))
    last.update({v: len(jaxpr.eqns) for v in jaxpr.outvars if not isinstance(v, Literal)})
    fused = _fused(jaxpr)
    for equation in reversed(jaxpr.eqns):
        ends = [last[v] for v in equation.outvars if v in fused and v in last]
        if ends:
            for variable in _read(equation):
                last[variable] = max(last[variable], *ends)
    return last


def _fused(jaxpr: Jaxpr) -> frozenset[Any]:
    """Values of elementwise operations with one reader, which a compiler makes on the way."""
    readers = Counter(v for equation in jaxpr.eqns for v in _read(equation))
    results = {v for v in jaxpr.outvars if not isinstance(v, Literal)}
    light = [e for e in jaxpr.eqns if e.primitive.name not in MATERIALISED and not list(_inner(e))]
    return frozenset(v for e in light for v in e.outvars if readers[v] <= 1 and v not in results)


def _read(equation: Any) -> set[Any]:
    """The values that an equation reads."""
    return {v for v in equation.invars if not isinstance(v, Literal)}


def _inner(equation: Any) -> Iterator[Jaxpr]:
    """The programs inside an equation."""
    for value in equation.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, Jaxpr):
                yield part


def _bytes(variable: Any) -> int:
    aval = variable.aval
    size = getattr(aval.dtype, "itemsize", 4) if hasattr(aval, "dtype") else 0
    return math.prod(getattr(aval, "shape", ())) * size
