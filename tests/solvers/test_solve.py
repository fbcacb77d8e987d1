import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.rng import fold, normal_like
from ssni_jax.solvers import Ancestral, Euler, Heun, diffuse, solve
from ssni_jax.solvers.solve import square_root_segment
from tests.kit import NeedsNoise, images, keys, two_modes

B = 5
X = 2 * images(B) - 1
LEVELS = jnp.asarray([[0.9, 0.5, 0.4, 0.7, 0.0], [0.9, 0.3, 0.4, 0.5, 0.0], [0.6, 0.2, 0.0, 0.5, 0.0], [0.0] * B])
walk = jax.jit(lambda step, denoise, x, levels: solve(keys(B), denoise, step, x, levels))


def step_by_step(step, denoise, x, levels):
    """`solve` as a loop over steps and rows that leaves out every zero-length step."""
    for i in range(len(levels) - 1):
        moved = step(fold(keys(B), i), denoise, x, jnp.where(levels[i] == 0, 1.0, levels[i]), levels[i + 1])
        x = jnp.where((levels[i] == levels[i + 1])[:, None, None, None], x, moved)
    return x


def total(solver, step):
    return lambda x, levels: jnp.sum(jnp.sin(3 * solver(step, two_modes(), x, levels)))


@pytest.fixture(scope="module")
def gradients():
    """By image and levels, of Ancestral steps with dynamic masks and of the plain loop."""
    return tuple(jax.jit(jax.grad(total(solver, Ancestral()), (0, 1)))(X, LEVELS) for solver in (walk, step_by_step))


def test_diffusing_adds_sigma_times_the_rows_own_noise():
    sigma = jnp.arange(5.0)
    expected = X + sigma[:, None, None, None] * normal_like(keys(B), X)
    np.testing.assert_allclose(diffuse(keys(B), X, sigma), expected, atol=1e-6)
    np.testing.assert_array_equal(diffuse(keys(B), X, sigma)[0], X[0])


@pytest.mark.parametrize("step", [Ancestral(), Heun()], ids=repr)
def test_solving_is_stepping_down_the_column_with_a_fresh_draw_a_step(step):
    expected = jax.jit(step_by_step)(step, two_modes(), X, LEVELS)
    np.testing.assert_allclose(walk(step, two_modes(), X, LEVELS), expected, atol=1e-6)


def test_repeated_levels_change_nothing():
    """Euler draws no noise, so the same nonzero steps give the same image wherever they stand in the column."""
    column = lambda *levels: jnp.tile(jnp.asarray(levels)[:, None], B)  # noqa: E731
    once = walk(Euler(), two_modes(), X, column(0.8, 0.5, 0.2, 0.2, 0.2))
    for levels in [(0.8, 0.8, 0.8, 0.5, 0.2), (0.8, 0.5, 0.5, 0.5, 0.2), (0.8, 0.8, 0.5, 0.5, 0.2)]:
        np.testing.assert_allclose(walk(Euler(), two_modes(), X, column(*levels)), once, atol=1e-6)


def test_a_column_of_zeros_leaves_its_image_bit_for_bit():
    np.testing.assert_array_equal(walk(Ancestral(), two_modes(), X, LEVELS)[4], X[4])


def test_checkpointing_keeps_the_gradient_by_the_image_exact(gradients):
    np.testing.assert_allclose(gradients[0][0], gradients[1][0], atol=1e-5)


def test_checkpointing_keeps_the_gradient_by_the_levels_exact(gradients):
    np.testing.assert_allclose(gradients[0][1], gradients[1][1], rtol=1e-4, atol=1e-4)


def test_the_gradient_is_the_slope(gradients):
    direction, h = normal_like(keys(B, seed=4), X), 1e-2
    value = jax.jit(total(walk, Ancestral()))
    slope = (value(X + h * direction, LEVELS) - value(X - h * direction, LEVELS)) / (2 * h)
    np.testing.assert_allclose(slope, jnp.sum(gradients[0][0] * direction), rtol=1e-2)


@pytest.mark.parametrize("step", [Ancestral(), Heun()], ids=repr)
def test_idle_rows_ask_the_network_for_a_harmless_level_only(step):
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(walk(step, NeedsNoise(), x, LEVELS))))(X)
    assert jnp.all(jnp.isfinite(gradient)) and jnp.all(gradient[4] == 1)


@pytest.mark.parametrize(
    "segment", [2, pytest.param(3, marks=pytest.mark.slow), pytest.param(7, marks=pytest.mark.slow)]
)
def test_segments_change_neither_images_nor_gradients(gradients, segment):
    nested = lambda step, denoise, x, levels: solve(keys(B), denoise, step, x, levels, segment=segment)  # noqa: E731
    np.testing.assert_allclose(
        jax.jit(nested)(Ancestral(), two_modes(), X, LEVELS), walk(Ancestral(), two_modes(), X, LEVELS), atol=1e-6
    )
    found = jax.jit(jax.grad(total(nested, Ancestral()), (0, 1)))(X, LEVELS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, gradients[0])


@pytest.mark.parametrize("n_steps", [1, 2, 3, 50, 100, 101, 105, 1000])
def test_segments_near_the_square_root_keep_few_states_and_add_few_steps(n_steps):
    segment = square_root_segment(n_steps)
    n_segments = -(-n_steps // segment)
    assert n_segments + segment <= 2.3 * np.sqrt(n_steps) + 1
    assert n_segments * segment - n_steps <= 0.05 * n_steps


def states_a_step(segment_of):
    """Growth of the planned memory of a gradient from 20 to 80 steps, in batches of images a step."""
    x = jnp.zeros((8, 16, 16, 3))
    curved = lambda x, sigma: jnp.tanh(x)  # noqa: E731  of a straight denoiser nothing would have to be kept

    def bytes_of(n_steps):
        levels = jnp.linspace(1.0, 0.0, n_steps + 1)[:, None] * jnp.ones(8)
        run = lambda x: jnp.sum(solve(keys(8), curved, Ancestral(), x, levels, segment=segment_of(n_steps)))  # noqa: E731
        return jax.jit(jax.grad(run)).lower(x).compile().memory_analysis().temp_size_in_bytes

    return (bytes_of(80) - bytes_of(20)) / 60 / x.nbytes


@pytest.mark.slow
def test_an_exact_gradient_keeps_one_state_a_step():
    assert 0.5 < states_a_step(lambda _: 1) <= 1.2


def test_an_exact_gradient_in_segments_keeps_far_fewer():
    """2 sqrt(80) - 2 sqrt(20) states over 60 steps."""
    assert states_a_step(square_root_segment) <= 0.25
