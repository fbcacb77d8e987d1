import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.schedules import (
    VE,
    VP,
    DiscreteVP,
    EqualNoise,
    Float32Steps,
    IntegerSteps,
    Karras,
    Listed,
    Strided,
    Thinned,
    Uniform,
)

CLOCK = VE()  # its noise is the time, so that a grid over it shows times

GRIDS = [
    *(Uniform(1), Uniform(7), EqualNoise(7), Strided(7, 0.2)),
    *(IntegerSteps(7), Float32Steps(7), Karras(1), Karras(7), Listed((1, 4, 9)), Thinned(Uniform(7), 3)),
]
SOFT = [grid for grid in GRIDS if not isinstance(grid, IntegerSteps | Float32Steps | Listed)]
H = 1e-3
THOUSANDTHS, AT, AHEAD, BEHIND = slice(0, 151), slice(151, 153), slice(153, 155), slice(155, 157)
T = np.concatenate(
    [np.arange(151) / 1000, [0.0412, 0.1234], [0.0412 + H, 0.1234 + H], [0.0412 - H, 0.1234 - H], [1e-6, 4e-4, np.nan]]
).astype(np.float32)
each_grid = pytest.mark.parametrize("grid", GRIDS, ids=repr)


@functools.cache
def measured(grid):
    """Times and their slopes at every T, one compilation a grid."""
    return jax.tree.map(np.asarray, jax.jit(lambda t: jax.jvp(lambda t: grid(CLOCK, t), (t,), (jnp.ones_like(t),)))(T))


@functools.cache
def walk(grid, *t, schedule=VE()):
    """The columns of some t."""
    return np.asarray(jax.jit(lambda t: grid(schedule, t))(np.asarray(t, np.float32)))


def n_moves(times):
    return np.sum(times[:-1] != times[1:], axis=0)


@each_grid
def test_a_grid_starts_at_t_ends_at_a_literal_zero_and_never_rises(grid):
    times = measured(grid)[0][:, :-1]
    assert times.shape == (grid.n_steps + 1, len(T) - 1)
    assert np.all(times[-1] == 0) and np.all(np.diff(times, axis=0) <= 0)
    if grid in SOFT:
        sliver = 1e-3 * grid.t_max / grid.n_steps if isinstance(grid, Strided) else 0  # dropped at every row
        np.testing.assert_allclose(times[0], T[:-1], rtol=1e-6, atol=sliver)


@each_grid
def test_t_zero_has_no_steps(grid):
    assert T[0] == 0 and np.all(measured(grid)[0][:, 0] == 0)


@each_grid
def test_a_column_depends_on_its_own_t_alone(grid):
    np.testing.assert_allclose(measured(grid)[0][:, 77], walk(grid, 0.077)[:, 0], rtol=1e-6)


@each_grid
def test_a_nan_t_is_loud_and_stays_in_its_column(grid):
    times = measured(grid)[0]
    assert np.all(np.isnan(times[:-1, -1])) and np.all(np.isfinite(times[:, :-1]))


@each_grid
def test_gradients_are_finite_at_zero_and_above(grid):
    assert np.all(np.isfinite(measured(grid)[1][:, :-1]))


@pytest.mark.parametrize("grid", SOFT, ids=repr)
def test_the_gradient_of_a_soft_grid_is_its_slope(grid):
    times, slopes = measured(grid)
    np.testing.assert_allclose(slopes[:, AT], (times[:, AHEAD] - times[:, BEHIND]) / (2 * H), atol=2e-3)


@pytest.mark.parametrize("schedule", [VP(), VE(), DiscreteVP()], ids=repr)
@each_grid
def test_equal_times_are_equal_noise_levels_under_any_schedule(schedule, grid):
    """So that a zero-length step in t is a zero-length step in sigma, which the solvers recognise."""
    times = measured(grid)[0]
    levels = jax.jit(schedule.sigma)(times)
    np.testing.assert_array_equal(n_moves(times), n_moves(np.asarray(levels)))


def test_uniform_steps_are_equal():
    np.testing.assert_allclose(walk(Uniform(4), 0.1)[:, 0], [0.1, 0.075, 0.05, 0.025, 0], rtol=1e-6)


def test_strided_steps_have_one_size_whatever_t():
    times = walk(Strided(4, 0.2), 0.2, 0.12, 0.05)
    np.testing.assert_allclose(times[:, 0], [0.2, 0.15, 0.1, 0.05, 0], rtol=1e-6)
    np.testing.assert_allclose(times[:, 1], [0.12, 0.07, 0.02, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(times[:, 2], [0.05, 0, 0, 0, 0], rtol=1e-5)


@pytest.mark.parametrize("grid", [Strided(20, 0.1), Strided(105, 0.105)], ids=repr)
def test_a_strided_grid_takes_k_steps_for_k_strides(grid):
    """Rounding must not leave a sliver of a step at the end: it would cost a network call."""
    k = np.arange(grid.n_steps + 1)
    np.testing.assert_array_equal(n_moves(walk(grid, *(k * grid.t_max / grid.n_steps).tolist())), k)


def test_a_t_beyond_the_stride_still_starts_at_t_and_ends_at_zero():
    np.testing.assert_allclose(walk(Strided(2, 0.1), 0.3)[:, 0], [0.3, 0.25, 0], rtol=1e-6)


@pytest.mark.parametrize("n_steps", [1, 2, 3, 7, 20, 50, 100, 105, 150])
def test_integer_steps_are_the_ceilings_of_a_linspace_for_every_t(n_steps):
    """The released index sequence; the small subtraction absorbs linspace's own rounding above an integer."""
    expected = np.ceil(np.linspace(0, np.arange(151), n_steps + 1) - 1e-9)[::-1]
    steps = 1000 * walk(IntegerSteps(n_steps), *T[THOUSANDTHS].tolist()).astype(np.float64)
    np.testing.assert_array_equal(np.round(steps), expected)
    np.testing.assert_allclose(steps, expected, rtol=3e-7)


def test_integer_steps_repeat_an_index_in_the_middle_of_a_column():
    steps = np.round(1000 * walk(IntegerSteps(7), 0.004)[:, 0])
    assert steps.tolist() == [4, 4, 3, 3, 2, 2, 1, 0]


def test_integer_steps_of_another_table_length_are_multiples_of_its_step():
    np.testing.assert_allclose(walk(IntegerSteps(2, n=10), 0.5)[:, 0], [0.5, 0.3, 0.0], rtol=1e-6)


def test_karras_noise_is_even_in_its_seventh_root():
    """Karras et al. 2022, eq. 5 with 18 steps from 80 to .002, then zero."""
    i = np.arange(18)
    expected = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(walk(Karras(18), 80.0)[:, 0], [*expected, 0.0], rtol=2e-5)


def test_karras_noise_is_the_same_seen_through_any_schedule():
    sigma = float(VP().sigma(jnp.asarray(0.1)))
    np.testing.assert_allclose(walk(Karras(7), 0.1, schedule=VP()), walk(Karras(7), sigma), rtol=1e-5)


def test_a_t_below_the_karras_minimum_takes_one_step():
    np.testing.assert_array_equal(n_moves(walk(Karras(5), 0.001, 0.0)), [1, 0])


@pytest.mark.parametrize("kind", [Uniform, EqualNoise, Strided, IntegerSteps, Float32Steps, Karras])
def test_a_grid_without_steps_is_refused(kind):
    with pytest.raises(ValueError, match="at least one step, got n_steps=0"):
        kind(0)
