import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.schedules import VE, CosineVP, DiscreteVP, Float32Steps, IntegerSteps, Listed, Respaced

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


HIGHER = {
    55: {33: [24], 66: [24]},
    100: {60: [24, 44], 106: [49], 108: [24], 118: [49], 120: [24, 44]},
    105: {
        **{7: [44], 14: [44], 15: [20, 41, 48], 27: [34], 28: [44], 30: [20, 41, 48], 54: [34], 55: [20, 41]},
        **{56: [44], 60: [20, 41, 48], 63: [24, 44, 49], 108: [34], 110: [20, 41], 112: [44], 120: [20, 41, 48]},
    },
    125: {75: [24, 44, 49]},
    130: {35: [25, 51], 39: [49], 70: [12, 25, 38, 51], 78: [24, 44, 49]},
}
"""Where the index sequences of SSNI's released code are one above exact arithmetic: for K steps and t, the places in
the sequence, as PyTorch 2.13 has them on a CPU."""


@pytest.mark.parametrize("n_steps", [20, 25, 30, 35, 55, 100, 105, 125, 130])
def test_float32_steps_are_the_released_indices_for_every_t_up_to_125(n_steps):
    t = np.arange(1, 126)
    expected = np.maximum(-(-t * np.arange(1, n_steps + 1)[:, None] // n_steps) - 1, 0)
    for time, places in HIGHER.get(n_steps, {}).items():
        expected[places, time - 1] += 1
    times = np.asarray(Float32Steps(n_steps, at_least=1)(VE(), jnp.asarray(t / 1000, jnp.float32)))
    np.testing.assert_array_equal(np.round(1000 * times[-2::-1]) - 1, expected)


def test_float32_steps_keep_their_rounding_when_they_are_lengthened_or_thinned():
    published = Float32Steps(105, at_least=1)
    assert repr(Float32Steps(100, at_least=1).reaching(0.105, 0.1)) == repr(published)
    assert repr(published.with_steps(20)) == repr(Float32Steps(20, at_least=1))
