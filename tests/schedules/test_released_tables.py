import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.schedules import VE, CosineVP, DiscreteVP, IntegerSteps, Listed, Respaced

TABLE = DiscreteVP()


def test_respacing_keeps_the_first_and_the_last_step_and_even_strides():
    kept = Respaced(100).kept()
    assert kept[0] == 0 and kept[-1] == 999 and len(kept) == 100 and set(np.diff(kept)) == {10, 11}


@pytest.mark.parametrize("base", [DiscreteVP(), CosineVP(400)], ids=repr)
def test_a_respaced_step_has_the_noise_of_the_step_it_keeps(base):
    schedule = Respaced(25, base)
    k = np.arange(1, 26)
    times = jnp.asarray((1 + schedule.kept()) / base.n, jnp.float32)
    np.testing.assert_allclose(schedule.sigma(jnp.asarray(k / 25, jnp.float32)), base.sigma(times), rtol=1e-5)
    np.testing.assert_allclose(schedule.inverse(base.sigma(times)), k / 25, rtol=1e-5)


def test_keeping_every_step_is_the_table_itself():
    t = jnp.linspace(0, 1, 37)
    np.testing.assert_allclose(Respaced(1000).sigma(t), TABLE.sigma(t), rtol=1e-6)
    np.testing.assert_allclose(Respaced(1000).scale(t), TABLE.scale(t), rtol=1e-6)


@pytest.mark.parametrize("n_kept", [1, 1001])
def test_more_steps_than_there_are_or_a_single_one_are_refused(n_kept):
    with pytest.raises(ValueError, match=f"n_kept={n_kept}"):
        Respaced(n_kept)


def test_a_list_of_indices_is_walked_from_its_last_to_noise_zero():
    """Index i has the noise after i + 1 steps."""
    times = Listed((0, 4, 9))(VE(), jnp.asarray([0.01], jnp.float32))
    np.testing.assert_allclose(times[:, 0], [0.01, 0.005, 0.001, 0], rtol=1e-6)


def test_a_smaller_t_joins_the_list_where_it_reaches_it():
    times = Listed((0, 4, 9))(VE(), jnp.asarray([0.003, 0.0, 0.02], jnp.float32))
    np.testing.assert_allclose(times[:, 0], [0.003, 0.003, 0.001, 0], rtol=1e-6)
    np.testing.assert_array_equal(times[:, 1], 0)
    np.testing.assert_allclose(times[:, 2], [0.02, 0.005, 0.001, 0], rtol=1e-6)


@pytest.mark.parametrize("indices", [(), (3, 1), (2, 2), (-1, 4)])
def test_a_list_that_does_not_ascend_is_refused(indices):
    with pytest.raises(ValueError, match="ascend"):
        Listed(indices)


def test_at_least_one_step_is_taken_where_the_code_takes_one():
    """At t = 0 too, from index 0 to the image."""
    t = jnp.asarray([0.0, 0.001, 0.003], jnp.float32)
    times = np.round(1000 * np.asarray(IntegerSteps(6, at_least=1)(VE(), t))).T
    np.testing.assert_array_equal(times, [[1] * 6 + [0], [1] * 6 + [0], [3, 3, 2, 2, 1, 1, 0]])
