import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.rng import fold
from ssni_jax.solvers import Ancestral, Heun, buckets, solve
from tests.kit import NeedsNoise, images, keys, two_modes

B = 10
X = 2 * images(B) - 1
rng = np.random.default_rng(0)
STEPPED = np.sort(rng.choice([0.0, 0.1, 0.2, 0.3, 0.5, 0.8], (9, B)), axis=0)[::-1]  # repeats inside the columns
STEPPED[-1], STEPPED[:, 3], STEPPED[:, 7] = 0.0, 0.0, np.linspace(0.8, 0.0, 9)
LEVELS = jnp.asarray(STEPPED, jnp.float32)
COUNTS = np.sum(STEPPED[:-1] != STEPPED[1:], axis=0)


def bucketed(n_buckets, denoise=None):
    at = lambda rows: denoise or two_modes()  # noqa: E731
    return lambda keys, step, x, levels: buckets.solve(keys, at, step, x, levels, n_buckets=n_buckets)


def scan(keys, step, x, levels):
    return solve(keys, two_modes(), step, x, levels)


def value_and_gradients(solver, step, levels=LEVELS):
    """The images, and the gradients by images and levels of a sum in which every pixel counts differently."""
    weights = jnp.linspace(0.5, 1.5, X[0].size).reshape(X.shape[1:])
    total = lambda x, levels: jnp.sum(jnp.sin(3 * solver(keys(B), step, x, levels)) * weights)  # noqa: E731
    run = jax.jit(lambda x, levels: (solver(keys(B), step, x, levels), jax.grad(total, (0, 1))(x, levels)))
    return run(X, levels)


def assert_close(found, expected, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), found, expected)


@pytest.mark.parametrize(("step", "n"), [(Ancestral(), 1), (Ancestral(), 40), (Heun(), 4)], ids=repr)
def test_any_number_of_buckets_gives_the_images_of_the_scan(step, n):
    found, expected = (jax.jit(f, static_argnums=1)(keys(B), step, X, LEVELS) for f in (bucketed(n), scan))
    assert_close(found, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("step", "n"), [(Ancestral(), 3), pytest.param(Heun(), 4, marks=pytest.mark.slow)], ids=repr)
def test_buckets_give_the_images_and_gradients_of_the_scan(step, n):
    assert_close(value_and_gradients(bucketed(n), step), value_and_gradients(scan, step), atol=2e-5, rtol=1e-4)


def test_a_bucket_calls_the_network_as_often_as_its_longest_sample_moves():
    seen = []

    def denoise(x, sigma):
        jax.debug.callback(lambda sigma: seen.append(np.asarray(sigma)), sigma)
        return 0.5 * x

    jax.block_until_ready(jax.jit(bucketed(4, denoise), static_argnums=1)(keys(B), Ancestral(), X, LEVELS))
    jax.effects_barrier()
    longest = np.pad(np.sort(COUNTS)[::-1], (0, 2), mode="edge").reshape(4, 3).max(axis=1)
    assert len(seen) == longest.sum() < 4 * COUNTS.max() and {len(sigma) for sigma in seen} == {3}


def test_draws_of_one_batch_share_the_calls_of_the_longest_draw():
    """Without a common answer, `vmap` would turn the choice of doing nothing into doing both."""
    seen = []

    def denoise(x, sigma):
        jax.debug.callback(lambda: seen.append(1))
        return 0.5 * x

    scales = jnp.asarray([1.0, 0.0])
    walk = lambda scale: bucketed(2, denoise)(keys(B), Ancestral(), X, scale * LEVELS)  # noqa: E731
    jax.block_until_ready(jax.jit(jax.vmap(jax.grad(lambda scale: jnp.sum(walk(scale)))))(scales))
    jax.effects_barrier()
    n_calls = np.sort(COUNTS)[::-1].reshape(2, 5).max(axis=1).sum()
    forth_and_back = 2
    assert len(seen) == forth_and_back * n_calls < forth_and_back * 2 * len(LEVELS[1:])


def test_a_draw_of_many_gets_what_it_gets_alone():
    walk = jax.jit(lambda draw: bucketed(3)(fold(keys(B), draw), Ancestral(), X, LEVELS * (1 - 0.5 * draw)))
    together = jax.jit(jax.vmap(walk))(jnp.arange(2))
    for draw in range(2):
        np.testing.assert_allclose(together[draw], walk(draw), atol=1e-6)


def test_a_sample_without_steps_is_left_bit_for_bit_and_idle_rows_are_harmless():
    found, (gradient, _) = value_and_gradients(bucketed(3, NeedsNoise()), Ancestral())
    np.testing.assert_array_equal(found[3], X[3])
    assert jnp.all(jnp.isfinite(gradient))


def test_a_samples_denoiser_is_its_own():
    target = jnp.arange(B, dtype=jnp.float32)
    at = lambda rows: lambda x, sigma: jnp.broadcast_to(target[rows][:, None, None, None], x.shape)  # noqa: E731
    found = jax.jit(lambda x: buckets.solve(keys(B), at, Ancestral(), x, LEVELS, n_buckets=4))(X)
    np.testing.assert_allclose(found[COUNTS > 0, 0, 0, 0], target[COUNTS > 0], atol=1e-6)


def test_a_nan_level_shows_in_its_own_row_only():
    found = jax.jit(bucketed(3), static_argnums=1)(keys(B), Ancestral(), X, LEVELS.at[0, 2].set(jnp.nan))
    np.testing.assert_array_equal(np.isnan(np.asarray(found)).any(axis=(1, 2, 3)), np.arange(B) == 2)
