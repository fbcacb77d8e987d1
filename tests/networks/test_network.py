"""Laws of the value form of a network."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ssni_jax.networks import Network, abstract, flat, initial_state, make_network, n_params, unflat
from ssni_jax.networks.layers import Buffer, Conv, GroupNorm


class Stack(nnx.Module):
    """Lists, buffers and nested modules: everything a path can contain."""

    def __init__(self, n: int = 8, *, rngs: nnx.Rngs):
        self.layers = nnx.List([Conv(1, n, 3, rngs=rngs), Conv(n, n, 3, rngs=rngs)])
        self.norm, self.shift = GroupNorm(n), Buffer(jnp.ones(()))

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.norm(x) + self.shift[...]


X = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))


def test_a_network_is_its_module():
    module = Stack(rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(make_network(module)(X), module(X))


def test_new_weights_do_not_retrace():
    traces = []

    @jax.jit
    def run(network, x):
        traces.append(1)
        return network(x)

    network = make_network(Stack(rngs=nnx.Rngs(0)))
    doubled = jax.tree.map(lambda leaf: 2 * leaf, network)
    assert not np.allclose(run(network, X), run(doubled, X))
    assert len(traces) == 1


def test_shapes_need_no_arrays():
    graphdef, shapes = abstract(Stack)
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(shapes))
    network = Network(graphdef, initial_state(Stack, jax.random.key(0)))
    assert jax.tree.structure(network.state) == jax.tree.structure(shapes)
    assert network(X).shape == (2, 8, 8, 8)


def test_initial_state_follows_its_key_alone():
    one, same, other = (flat(initial_state(Stack, jax.random.key(seed))) for seed in (0, 0, 1))
    name = "layers/1/kernel"
    np.testing.assert_array_equal(one[name], same[name])
    assert not np.array_equal(one[name], other[name])


def test_initial_state_is_what_flax_draws_from_the_key():
    key = jax.random.key(3)
    ours, flax = (flat(state) for state in (initial_state(Stack, key), make_network(Stack(rngs=nnx.Rngs(key))).state))
    for name, value in flax.items():
        np.testing.assert_array_equal(ours[name], value)


def test_n_params_counts_trained_values_only():
    assert n_params(abstract(Stack)[1]) == (9 * 8 + 8) + (9 * 64 + 8) + 16


def test_keys_are_paths_of_strings():
    assert set(flat(abstract(Stack)[1])) == {
        *(f"layers/{i}/{name}" for i in (0, 1) for name in ("kernel", "bias")),
        "norm/scale",
        "norm/bias",
        "shift",
    }


def test_flat_and_unflat_are_inverse():
    network = make_network(Stack(rngs=nnx.Rngs(0)))
    arrays = {key: np.asarray(value) for key, value in reversed(flat(network.state).items())}
    again = Network(network.graphdef, unflat(abstract(Stack)[1], arrays))
    np.testing.assert_array_equal(again(X), network(X))


def test_every_misfit_is_named_in_one_sentence():
    arrays = {key: np.zeros(leaf.shape) for key, leaf in flat(abstract(Stack)[1]).items()}
    arrays["norm/gain"] = arrays.pop("norm/scale")
    arrays["layers/0/bias"] = np.zeros(3)
    with pytest.raises(ValueError) as caught:
        unflat(abstract(Stack)[1], arrays)
    assert str(caught.value) == (
        "the arrays do not fit the network: missing norm/scale; unexpected norm/gain; "
        "mis-shaped layers/0/bias [3] instead of [8]; check its config"
    )


def test_gradients_are_networks():
    slope = jax.jit(jax.grad(lambda network: jnp.sum(jnp.square(network(X)))))(make_network(Stack(rngs=nnx.Rngs(0))))
    assert isinstance(slope, Network)
    assert float(jnp.max(jnp.abs(flat(slope.state)["layers/0/kernel"]))) > 0


def test_constructor_arguments_reach_the_shapes():
    assert flat(abstract(partial(Stack, 16))[1])["norm/scale"].shape == (16,)
