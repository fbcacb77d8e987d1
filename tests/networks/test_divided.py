"""A network in parts is the whole network, of which a device holds the others' parts for one call only."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ssni_jax.core.fingerprint import fingerprint
from ssni_jax.dist import by_rows, make_mesh, sharded_over_data, whole
from ssni_jax.networks.network import Network, is_divided, make_network

N = 16


def placed(place):
    """A linear layer on the devices."""
    network = make_network(nnx.Linear(N, N, rngs=nnx.Rngs(0)))
    shardings = place(network.state) if callable(place) else place
    return Network.placed(network.graphdef, jax.device_put(network.state, shardings))


@pytest.fixture(scope="module")
def mesh():
    return make_mesh()


@pytest.fixture(scope="module")
def parts(mesh):
    return placed(functools.partial(sharded_over_data, mesh, min_size=N * N))


def test_only_what_is_divided_says_so(mesh, parts):
    assert is_divided({"denoise": parts}) and not is_divided({"denoise": placed(whole(mesh))})
    assert sorted(parts.split, key=str) == [0, None], "the bias is small and stays whole"
    assert fingerprint(parts) == fingerprint(placed(whole(mesh)))


def test_in_a_loop_over_rows_the_parts_are_the_whole_and_take_an_eighth_of_its_memory(mesh, parts):
    def walk(network, x):
        return jax.lax.fori_loop(0, 3, lambda i, x: jnp.tanh(network(x)), x)

    x = np.random.default_rng(0).normal(size=(16, N)).astype(np.float32)
    program = jax.jit(by_rows(mesh, walk))
    np.testing.assert_array_equal(program(parts, x), program(placed(whole(mesh)), x))
    collects = program.lower(parts, x).as_text()
    assert collects.index("while") < collects.index("all_gather"), "collected inside the loop, for each call anew"
    assert {shard.data.size for shard in parts.state["kernel"][...].addressable_shards} == {N * N // 8}


def test_outside_of_a_function_of_rows_it_is_called_as_any_other(mesh, parts):
    x = jnp.ones((2, N))
    np.testing.assert_allclose(parts(x), placed(whole(mesh))(x), atol=1e-6)
