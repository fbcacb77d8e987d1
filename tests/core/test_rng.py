import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.core.rng import fold, normal_like, sample_keys, uniform_like
from tests.kit import images, keys


def bits(keys):
    return np.asarray(jax.random.key_data(keys))


def test_a_key_follows_from_the_seed_and_the_sample_id_alone():
    root = jax.random.key(3)
    some, others = sample_keys(root, jnp.asarray([7, 2, 900])), sample_keys(root, jnp.asarray([2, 4]))
    np.testing.assert_array_equal(bits(some)[1], bits(others)[0])
    np.testing.assert_array_equal(bits(some)[1], bits(jax.random.fold_in(root, 2)))


def test_samples_draws_and_seeds_all_have_keys_of_their_own():
    many = [fold(keys(5, seed), draw) for seed in range(3) for draw in range(4)]
    assert len({tuple(row) for row in np.concatenate([bits(k) for k in many]).tolist()}) == 3 * 4 * 5


def test_a_draw_a_row_is_the_same_as_one_for_all():
    np.testing.assert_array_equal(bits(fold(keys(3), jnp.asarray([5, 5, 5]))), bits(fold(keys(3), 5)))
    np.testing.assert_array_equal(bits(fold(keys(3), jnp.asarray([1, 5, 2])))[1], bits(fold(keys(3), 5))[1])


def test_row_noise_is_drawn_from_the_rows_own_key():
    noise = normal_like(keys(6), images(6))
    np.testing.assert_array_equal(noise[4], normal_like(keys(6)[4:5], images(1))[0])
    assert noise.shape == images(6).shape and noise.dtype == jnp.float32


def test_normal_noise_has_mean_zero_and_variance_one():
    noise = np.asarray(normal_like(keys(64), images(64, shape=(16, 16, 1))))
    assert abs(noise.mean()) < 4 / 128 and abs(noise.var() - 1) < 4 * np.sqrt(2) / 128


def test_uniform_noise_fills_the_range_from_minus_one_to_one():
    noise = np.asarray(uniform_like(keys(64), images(64, shape=(16, 16, 1))))
    assert -1 <= noise.min() < -0.999 and 0.999 < noise.max() <= 1 and abs(noise.mean()) < 4 / np.sqrt(3) / 128
