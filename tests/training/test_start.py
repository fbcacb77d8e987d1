"""Training that begins with a stored network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ssni_jax.dist import make_mesh, sharded_over_data, whole
from ssni_jax.networks import PreprocessedClassifier, flat
from ssni_jax.networks.network import make_network
from ssni_jax.training import begun_with, init_state


@pytest.fixture
def stored(classifier):
    """A classifier whose every array, batch statistics included, is not what a fresh one has."""
    network = make_network(classifier())
    return PreprocessedClassifier(jax.tree.map(lambda leaf: leaf + 0.5, network))


@pytest.mark.parametrize("keeps_target", [False, True])
def test_a_run_begins_with_the_weights_of_a_stored_network(classifier, tx, stored, keeps_target):
    _, fresh = init_state(classifier, tx, keeps_target=keeps_target)
    state = begun_with(fresh, stored)
    wanted = flat(stored.network.state)
    for part in (state.params, state.rest, state.ema, *([state.target] if keeps_target else [])):
        for name, array in flat(part).items():
            np.testing.assert_array_equal(array, wanted[name])
    assert flat(state.params).keys() | flat(state.rest).keys() == wanted.keys()
    assert (state.target is not None) == keeps_target
    assert int(state.step) == 0 and not any(np.any(leaf) for leaf in jax.tree.leaves(state.opt_state))


def test_weights_lie_where_the_state_lies_each_in_memory_of_its_own(classifier, tx, stored):
    mesh = make_mesh()
    _, fresh = init_state(classifier, tx, lambda shapes: sharded_over_data(mesh, shapes, min_size=16), True)
    stored = jax.device_put(stored, whole(mesh))
    state = begun_with(fresh, stored)
    places = [[leaf.sharding for leaf in jax.tree.leaves(each)] for each in (fresh, state)]
    assert places[0] == places[1] and any(not place.is_fully_replicated for place in places[0])
    jax.jit(lambda tree: jax.tree.map(jnp.zeros_like, tree), donate_argnums=0)(
        state
    )  # refuses one buffer in two places
    np.testing.assert_array_equal(flat(stored.network.state)["conv/bias"], np.full(8, 0.5))


def test_a_stored_network_of_another_shape_is_refused_in_one_sentence(classifier, tx, stored):
    for options, problem in [
        ({"n_features": 9}, r"conv/kernel \[3, 3, 1, 8\] instead"),
        ({"norm": False}, "unexpected"),
    ]:
        _, state = init_state(lambda options=options: classifier(**options), tx)
        with pytest.raises(ValueError, match=problem) as error:
            begun_with(state, stored)
        assert "\n" not in str(error.value)


def test_the_bare_network_serves_as_well_as_the_classifier_around_it(classifier, tx, stored):
    _, state = init_state(classifier, tx)
    one, other = begun_with(state, stored), begun_with(state, stored.network)
    assert isinstance(one.params, nnx.State)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)
