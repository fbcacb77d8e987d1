"""An array that stands twice in the arguments is one argument of the program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.evals.sharing import SharedJit

WEIGHT = jnp.arange(1000.0)


def total(values, x):
    return {"sum": values["a"] * x + values["b"], "state": x}


def n_argument_bytes(program):
    return program.memory_analysis().argument_size_in_bytes


def test_weights_that_stand_twice_are_planned_once_and_give_the_same_result():
    shared = SharedJit(total).lower({"a": WEIGHT, "b": WEIGHT}, jnp.ones(1000)).compile()
    apart = SharedJit(total).lower({"a": WEIGHT, "b": WEIGHT + 1}, jnp.ones(1000)).compile()
    assert n_argument_bytes(shared) == 8000 and n_argument_bytes(apart) == 12000
    np.testing.assert_array_equal(shared({"a": WEIGHT, "b": WEIGHT}, jnp.ones(1000))["sum"], 2 * WEIGHT)


def test_a_compiled_program_refuses_arrays_that_are_shared_otherwise():
    program = SharedJit(total).lower({"a": WEIGHT, "b": WEIGHT}, jnp.ones(1000)).compile()
    with pytest.raises(TypeError, match="not shared as when it was compiled"):
        program({"a": WEIGHT, "b": WEIGHT + 1}, jnp.ones(1000))


def test_equal_numbers_are_not_shared_so_that_one_may_change_without_compiling():
    traced = []

    def scaled(a, b, x):
        traced.append(0)
        return a * x + b

    program = SharedJit(scaled)
    assert float(program(2.0, 2.0, jnp.ones(3))[0]) == 4 and float(program(2.0, 3.0, jnp.ones(3))[0]) == 5
    assert len(traced) == 1


def test_an_argument_that_is_given_away_is_deleted_and_weights_are_not():
    state = jnp.zeros(1000)
    result = SharedJit(total, donate=(1,))({"a": WEIGHT, "b": WEIGHT}, state)
    assert state.is_deleted() and not WEIGHT.is_deleted()
    assert result["state"].shape == (1000,)


def test_shapes_share_as_arrays_do():
    shape = jax.ShapeDtypeStruct((1000,), jnp.float32)
    lowered = SharedJit(total).lower({"a": shape, "b": shape}, jax.ShapeDtypeStruct((1000,), jnp.float32))
    assert n_argument_bytes(lowered.compile()) == 8000
