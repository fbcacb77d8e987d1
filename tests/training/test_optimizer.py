import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.training import Adam

PARAMS = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
GRADIENT = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.full(2, -4.0)}


def first_update(adam):
    tx = adam.transform(100)
    return tx.update(GRADIENT, tx.init(PARAMS), PARAMS)[0]


def test_the_first_step_of_adam_is_the_learning_rate_against_the_sign():
    update = first_update(Adam(0.01))
    np.testing.assert_allclose(update["kernel"], -0.01, rtol=1e-4)
    np.testing.assert_allclose(update["bias"], 0.01, rtol=1e-4)


def test_weight_decay_is_decoupled_and_spares_vectors():
    update = first_update(Adam(0.01, weight_decay=0.5))
    np.testing.assert_allclose(update["kernel"], -0.01 * (1 + 0.5), rtol=1e-4)
    np.testing.assert_allclose(update["bias"], 0.01, rtol=1e-4)


def test_clipping_bounds_the_gradient_norm_seen_by_adam():
    tx = Adam(0.01, clip=1.0).transform(100)
    state = tx.update(GRADIENT, tx.init(PARAMS), PARAMS)[1]
    first_moment = state[1].mu
    norm = np.sqrt(sum(np.sum(np.square(leaf / 0.1)) for leaf in first_moment.values()))
    np.testing.assert_allclose(norm, 1.0, rtol=1e-5)


def test_the_rate_rises_then_falls_to_its_share():
    rate = Adam(0.1, warmup=9, decay_to=0.2).rate(109)
    np.testing.assert_allclose([rate(0), rate(4), rate(9), rate(109)], [0.01, 0.05, 0.1, 0.02], rtol=1e-4)
    np.testing.assert_allclose(Adam(0.1).rate(10)(7), 0.1, rtol=1e-6)


@pytest.mark.parametrize("bad", [{"learning_rate": 0.0}, {"warmup": -1}, {"clip": -1.0}, {"decay_to": 2.0}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Adam(**bad)
