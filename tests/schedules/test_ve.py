import jax.numpy as jnp
import numpy as np

from ssni_jax.schedules import VE


def test_time_is_the_noise_level_and_nothing_is_scaled():
    t = jnp.asarray([0.0, 0.002, 80.0])
    np.testing.assert_array_equal(VE().sigma(t), t)
    np.testing.assert_array_equal(VE().inverse(t), t)
    np.testing.assert_array_equal(VE().scale(t), 1)
