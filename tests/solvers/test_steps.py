import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.rng import normal_like
from ssni_jax.solvers import Ancestral, Euler, EulerMaruyama, Heun, Renoise, solve
from tests.kit import SHAPE, Gaussian, images, keys, two_modes

B = 8
X = 2 * images(B) - 1
HI, LO = jnp.linspace(0.5, 2.0, B), jnp.linspace(0.1, 0.4, B)
STEPS = [Euler(), Heun(), EulerMaruyama(), Ancestral(), Ancestral(eta=0.0), Renoise()]
each_step = pytest.mark.parametrize("step", STEPS, ids=repr)
move = jax.jit(lambda step, keys, x, hi, lo: step(keys, two_modes(), x, hi, lo))
slopes = jax.jit(jax.grad(lambda ends, step: jnp.sum(jnp.sin(step(keys(B), two_modes(), *ends)))))
walk = jax.jit(lambda step, denoise, keys, x, levels: solve(keys, denoise, step, x, levels))


@pytest.mark.parametrize("step", [Euler(), Heun(), Ancestral(), Ancestral(eta=0.0), Renoise()], ids=repr)
def test_one_step_to_zero_is_the_denoiser(step):
    np.testing.assert_allclose(move(step, keys(B), X, HI, 0 * LO), two_modes()(X, HI), atol=3e-7)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ancestral_is_ddpm_and_ddim_seen_without_their_scale(eta):
    """Song et al. 2020, eqs. 12 and 16, in variance-preserving coordinates and float64, with the same noise."""
    abar_hi, abar_lo = (np.asarray(1 / (1 + sigma**2), np.float64).reshape(B, 1, 1, 1) for sigma in (HI, LO))
    x0, noise = (np.asarray(v, np.float64) for v in (two_modes()(X, HI), normal_like(keys(B), X)))
    state = np.sqrt(abar_hi) * np.asarray(X)
    predicted = (state - np.sqrt(abar_hi) * x0) / np.sqrt(1 - abar_hi)
    c1 = eta * np.sqrt((1 - abar_hi / abar_lo) * (1 - abar_lo) / (1 - abar_hi))
    state = np.sqrt(abar_lo) * x0 + c1 * noise + np.sqrt(1 - abar_lo - c1**2) * predicted
    np.testing.assert_allclose(move(Ancestral(eta), keys(B), X, HI, LO), state / np.sqrt(abar_lo), atol=1e-6)


@pytest.mark.parametrize("step", [Euler(), Heun(), Ancestral(eta=0.0)], ids=repr)
def test_deterministic_steps_ignore_their_keys(step):
    np.testing.assert_array_equal(move(step, keys(B), X, HI, LO), move(step, keys(B, seed=1), X, HI, LO))


@pytest.mark.parametrize("step", [EulerMaruyama(), Ancestral(), Renoise()], ids=repr)
def test_stochastic_steps_do_not(step):
    assert jnp.all(move(step, keys(B), X, HI, LO) != move(step, keys(B, seed=1), X, HI, LO))


@pytest.mark.parametrize("step", [Euler(), Heun(), EulerMaruyama(), Ancestral(), Ancestral(eta=0.0)], ids=repr)
def test_a_zero_length_step_is_the_identity_as_a_repeated_index_of_ddpm_is(step):
    np.testing.assert_allclose(move(step, keys(B), X, HI, HI), X, atol=3e-7)


def test_to_noise_zero_heun_is_eulers_step():
    np.testing.assert_array_equal(move(Heun(), keys(B), X, HI, 0 * LO), move(Euler(), keys(B), X, HI, 0 * LO))


@each_step
def test_a_step_makes_as_many_network_calls_as_it_says(step):
    calls = []

    def denoise(x, sigma):
        calls.append(sigma)
        return 0.5 * x

    jax.eval_shape(lambda x: step(keys(B), denoise, x, HI, LO), X)
    assert len(calls) == step.n_calls


@each_step
@pytest.mark.parametrize("lo", [0 * LO, LO, HI], ids=["to zero", "downwards", "zero length"])
def test_gradients_by_image_and_by_both_levels_are_finite(step, lo):
    assert all(jnp.all(jnp.isfinite(slope)) for slope in slopes((X, HI, lo), step))


@each_step
def test_a_row_steps_by_its_own_levels(step):
    together = move(step, keys(B), X, HI, LO)
    turned = move(step, keys(B)[::-1], X[::-1], HI[::-1], LO[::-1])[::-1]
    np.testing.assert_allclose(together, turned, atol=1e-6)


@pytest.mark.parametrize(("step", "order"), [(Euler(), 1), (Ancestral(eta=0.0), 1), (Heun(), 2)], ids=repr)
def test_probability_flow_steps_converge_at_their_order(step, order):
    """The exact flow of a Gaussian is x sqrt((std^2 + lo^2) / (std^2 + hi^2)); unused rows repeat the last level."""
    hi, lo, std = 1.0, 0.1, jnp.linspace(0.2, 1.0, int(np.prod(SHAPE))).reshape(SHAPE)
    exact = X * jnp.sqrt((std**2 + lo**2) / (std**2 + hi**2))
    errors = []
    for n in (8, 16, 32):
        levels = hi * (lo / hi) ** np.minimum(np.arange(33) / n, 1.0)
        found = walk(step, Gaussian(std), keys(B), X, jnp.asarray(np.tile(levels[:, None], B), jnp.float32))
        errors.append(float(jnp.max(jnp.abs(found - exact))))
    np.testing.assert_allclose(np.log2(errors[:2]) - np.log2(errors[1:]), order, atol=0.15)


def geometric(hi, n, rows):
    """Levels from hi down to 0.003 hi and then zero."""
    levels = np.append(hi * 0.003 ** (np.arange(n) / (n - 1)), 0.0)
    return jnp.asarray(np.tile(levels[:, None], rows), jnp.float32)


@pytest.mark.parametrize("step", [Ancestral(), EulerMaruyama()], ids=repr)
def test_stochastic_steps_sample_the_exact_posterior(step):
    """x0 given x = x0 + hi n has mean v / (v + hi^2) x and variance v hi^2 / (v + hi^2); 16384 draws, five sigmas."""
    x, variance, draws = jnp.full((64, 16, 16, 1), 0.7), 0.25, 64 * 16 * 16
    found = walk(step, Gaussian(variance**0.5), keys(64), x, geometric(1.0, 250, 64))
    spread = variance / (variance + 1)
    assert abs(found.mean() - spread * 0.7) < 5 * np.sqrt(spread / draws) + 0.002
    assert abs(found.var() / spread - 1) < 5 * np.sqrt(2 / draws) + 0.01


@pytest.mark.slow
def test_between_ddim_and_ddpm_noised_data_becomes_data():
    variance, draws = 0.25, 64 * 16 * 16
    x = np.sqrt(variance + 1) * normal_like(keys(64, seed=1), jnp.zeros((64, 16, 16, 1)))
    found = walk(Ancestral(eta=0.5), Gaussian(variance**0.5), keys(64), x, geometric(1.0, 250, 64))
    assert abs(found.var() / variance - 1) < 5 * np.sqrt(2 / draws) + 0.01
