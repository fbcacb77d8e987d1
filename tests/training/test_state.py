import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.training import averaged, init_state, make_state


def test_a_state_born_in_one_program_equals_the_eager_one(classifier, tx):
    graphdef, eager = make_state(classifier(), tx)
    same_graph, born = init_state(classifier, tx)
    assert same_graph == graphdef
    assert jax.tree.structure(born) == jax.tree.structure(eager)
    for one, other in zip(jax.tree.leaves(born), jax.tree.leaves(eager), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_average_starts_at_the_parameters_in_memory_of_its_own(classifier, tx):
    _, state = make_state(classifier(), tx)
    kernel, average = state.params["conv"]["kernel"][...], state.ema["conv"]["kernel"][...]
    np.testing.assert_array_equal(kernel, average)
    assert kernel is not average and kernel.unsafe_buffer_pointer() != average.unsafe_buffer_pointer()


def test_the_released_module_has_the_averaged_parameters(classifier, tx):
    graphdef, state = make_state(classifier(), tx)
    state = jax.tree.map(lambda leaf: leaf, state)
    object.__setattr__(state, "ema", jax.tree.map(jnp.zeros_like, state.ema))
    np.testing.assert_array_equal(averaged(graphdef, state)(jnp.ones((2, 8, 8, 1))), np.zeros((2, 10)))
