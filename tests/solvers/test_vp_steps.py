import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.arrays import over
from ssni_jax.core.rng import normal_like
from ssni_jax.schedules import VP, DiscreteVP, Strided
from ssni_jax.solvers import Ancestral, EulerMaruyama, Shifted, VpEuler, VpEulerMaruyama, solve
from tests.kit import Gaussian, ShowsSigma, images, keys, two_modes

B = 4
X = 2 * images(B) - 1
T, LATER = jnp.full(B, 0.09), jnp.full(B, 0.1)
TABLE = DiscreteVP()
STEPS = [VpEuler(), VpEulerMaruyama(), VpEuler(noised_by=TABLE), VpEulerMaruyama(noised_by=TABLE)]
ODE, SDE, ODE_OF_A_TABLE, SDE_OF_A_TABLE = STEPS
each_step = pytest.mark.parametrize(
    "step",
    [
        pytest.param(ODE, id="ode"),
        pytest.param(SDE, id="sde", marks=pytest.mark.slow),
        pytest.param(ODE_OF_A_TABLE, id="ode of a table", marks=pytest.mark.slow),
        pytest.param(SDE_OF_A_TABLE, id="sde of a table"),
    ],
)
move = jax.jit(lambda step, denoise, x, hi, lo: step(keys(len(x)), denoise, x, hi, lo))
walk = jax.jit(lambda step, x, levels: solve(keys(len(x)), Gaussian(), step, x, levels))


@each_step
def test_a_step_is_eulers_in_variance_preserving_coordinates(step):
    """By hand: dx = (beta x / 2 + g score) dt + noise with beta(t) = 0.1 + 19.9 t, scores at the continuous sigma."""
    schedule, table, t, dt = VP(), step.noised_by, 0.1, 0.01
    sigma, scale = (np.asarray(v, np.float64) for v in (schedule.sigma(LATER)[0], schedule.scale(LATER)[0]))
    state = np.asarray(table.scale(LATER)[0] * X, np.float64)
    x0 = np.asarray(two_modes()(jnp.asarray(state / scale, jnp.float32), schedule.sigma(LATER)), np.float64)
    score = (x0 - state / scale) / (sigma**2 * scale)
    beta, is_sde = 0.1 + 19.9 * t, isinstance(step, VpEulerMaruyama)
    moved = state + dt * beta * (state / 2 + score * (1.0 if is_sde else 0.5))
    moved += np.sqrt(beta * dt) * np.asarray(normal_like(keys(B), X)) * is_sde
    found = move(step, two_modes(), X, table.sigma(LATER), table.sigma(T))
    np.testing.assert_allclose(found, moved / np.asarray(table.scale(T)[0]), atol=3e-6)


@each_step
def test_to_noise_zero_the_scaled_state_at_its_end_is_handed_over(step):
    """As far as the step to a grid's row at t_end goes, which keeps the unscaled state."""
    table, end = step.noised_by, jnp.full(B, 1e-5)
    given = move(step, two_modes(), X, table.sigma(T), 0 * T)
    kept = move(step, two_modes(), X, table.sigma(T), table.sigma(end))
    np.testing.assert_allclose(given, over(table.scale(end), X) * kept, atol=1e-6)


@each_step
def test_a_sample_beyond_the_end_is_handed_over_unmoved(step):
    """For instance a t(x) below t_end."""
    hi = step.noised_by.sigma(jnp.full(B, 5e-6))
    np.testing.assert_allclose(move(step, two_modes(), X, hi, 0 * hi), X, atol=1e-5)


@each_step
def test_the_network_hears_the_noise_of_the_process_that_is_integrated(step):
    """The spy's estimate is that noise, so the step is affine in it; two answers tell them apart."""
    told = lambda sigma: lambda x, _: over(jnp.full(B, sigma), x)  # noqa: E731
    hi, lo = step.noised_by.sigma(LATER), step.noised_by.sigma(T)
    heard = move(step, ShowsSigma(), X, hi, lo)
    expected = jax.jit(lambda x, sigma: step(keys(B), told(sigma), x, hi, lo))(X, VP().sigma(LATER)[0])
    np.testing.assert_allclose(heard, expected, atol=2e-6)


def test_in_small_steps_the_ode_carries_a_gaussian_to_its_quantile():
    """Exact for pixels of N(0, std^2): x / sqrt(std^2 + sigma^2) is constant along the flow."""
    found = walk(VpEuler(), X, Strided(2000, 0.1)(VP(), LATER))
    expected = X * 0.5 / jnp.sqrt(0.25 + jnp.square(over(VP().sigma(LATER), X)))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_in_small_steps_the_sde_has_the_spread_of_the_data():
    x = 0.5 * normal_like(keys(64, seed=1), images(64)) * jnp.sqrt(1 + 4 * jnp.square(VP().sigma(LATER)[0]))
    found = walk(VpEulerMaruyama(), x, Strided(400, 0.1)(VP(), jnp.full(64, 0.1)))
    np.testing.assert_allclose(jnp.std(found), 0.5, rtol=0.08)


def test_the_sde_draws_and_the_ode_does_not():
    hi, lo = VP().sigma(LATER), VP().sigma(T)
    other = lambda step: jax.jit(lambda x: step(keys(B, seed=1), two_modes(), x, hi, lo))(X)  # noqa: E731
    assert jnp.all(move(VpEulerMaruyama(), two_modes(), X, hi, lo) != other(VpEulerMaruyama()))
    np.testing.assert_allclose(move(VpEuler(), two_modes(), X, hi, lo), other(VpEuler()), atol=1e-6)


def test_a_shift_of_zero_changes_nothing():
    hi, lo = TABLE.sigma(LATER), TABLE.sigma(T)
    plain = move(Ancestral(), two_modes(), X, hi, lo)
    np.testing.assert_allclose(move(Shifted(Ancestral(), shift=0.0), two_modes(), X, hi, lo), plain, atol=3e-6)


def test_a_shifted_step_walks_the_scaled_state_by_later_indices():
    """DDPM from index 104 to 94 on the state that was noised to index 99, in the table's own coordinates."""
    hi, lo, high, low = (TABLE.sigma(jnp.full(B, k / 1000)) for k in (100, 90, 105, 95))
    state = X / jnp.sqrt(1 + hi[0] ** 2)
    expected = Ancestral()(keys(B), two_modes(), state * jnp.sqrt(1 + high[0] ** 2), high, low)
    expected = expected / jnp.sqrt(1 + low[0] ** 2) * jnp.sqrt(1 + lo[0] ** 2)
    np.testing.assert_allclose(move(Shifted(Ancestral()), two_modes(), X, hi, lo), expected, atol=5e-6)


def test_a_shifted_step_still_ends_at_noise_zero():
    step = Shifted(EulerMaruyama())
    hi = TABLE.sigma(T)
    assert jnp.all(jnp.isfinite(move(step, two_modes(), X, hi, 0 * hi))) and step.n_calls == 1
