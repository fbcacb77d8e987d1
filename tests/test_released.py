"""What the released code does differently, and that it is off unless asked for by name."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.fingerprint import fingerprint
from ssni_jax.core.pytree import pytree
from ssni_jax.networks import Coefficients, IddpmCoefficients, Preconditioned, VpCoefficients
from ssni_jax.purify import Calibration, Held, ScoreNorm, SsniLinear, SsniLinearOverBatch
from ssni_jax.recipes import (
    consistency_released,
    ddpm_released,
    diffpure_ode_released,
    diffpure_sde_released,
    gns_released,
    ssni_l_released,
    ssni_n_released,
)
from ssni_jax.recipes.released import TABLE
from ssni_jax.schedules import VP, Float32Steps
from ssni_jax.solvers import Shifted
from tests.kit import ShowsSigma, calibration, images, keys, run, two_modes

NORMS = (200.0, 250.0, 300.0, 350.0, 400.0)
XI = jnp.asarray([150.0, 300.0, 440.0])
REFERENCE = Calibration.measured(ScoreNorm(two_modes(), VP(), 20), NORMS, data="test", images="norms")


def times(purifier, xi=XI):
    """Integer times of the first round."""
    return np.round(1000 * np.asarray(purifier.times(xi)[0]), 3)


def test_ssni_n_subtracts_one_step_from_t_star_before_the_bias():
    """(100 - 1 + 5) / (1 + exp(-(xi - 300) / 20)), rounded; the grid has 5 steps more."""
    purifier = ssni_n_released(ddpm_released(two_modes()), REFERENCE)
    np.testing.assert_array_equal(times(purifier), [0, 52, 104])
    assert repr(purifier.rounds[0].grid) == repr(Float32Steps(105, at_least=1))


def test_ssni_l_takes_its_range_from_the_batch_as_well():
    """(xi - 150) / (440 - 150) 99 + 5, rounded; alone, 300 lies in the middle of the calibration's own range."""
    purifier = ssni_l_released(ddpm_released(two_modes()), REFERENCE)
    np.testing.assert_array_equal(times(purifier), [5, 56, 104])
    np.testing.assert_array_equal(times(purifier, XI[1:2]), [54])
    assert repr(purifier.rounds[0].grid) == repr(Float32Steps(100, at_least=1))


def test_within_the_calibrations_range_the_batch_changes_nothing():
    xi = jnp.asarray([210.0, 333.0])
    found, expected = (kind(200.0, 400.0, 0.1, 0.005)(xi) for kind in (SsniLinearOverBatch, SsniLinear))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.slow
def test_the_index_shift_is_off_unless_asked_for_and_matters():
    base = ddpm_released(two_modes(), t_stars=[20], n_steps=[10])
    plain, shifted = (ssni_l_released(base, REFERENCE, shift_indices=on) for on in (False, True))
    assert isinstance(shifted.rounds[0].step, Shifted) and not isinstance(plain.rounds[0].step, Shifted)
    plain, shifted = (dataclasses.replace(each, deviation=Held(XI)) for each in (plain, shifted))
    one, other = run(plain, keys(3), images(3)), run(shifted, keys(3), images(3))
    np.testing.assert_array_equal(one.noised, other.noised)
    assert jnp.all(jnp.isfinite(other.image)) and jnp.any(jnp.abs(one.image - other.image) > 1e-3)


def test_a_sample_with_t_zero_is_noised_and_denoised_by_one_step_as_released():
    purifier = ssni_n_released(ddpm_released(two_modes(), t_stars=[20], n_steps=[10]), REFERENCE)
    done = run(dataclasses.replace(purifier, deviation=Held(jnp.zeros(3))), keys(3), images(3))
    assert jnp.all(done.t == 0) and jnp.all(done.n_calls == 1)
    sigma = (done.noised - images(3)) * 2
    np.testing.assert_allclose(jnp.std(sigma), TABLE.sigma(jnp.asarray(0.001)), rtol=0.5)


def test_the_score_norm_hears_continuous_labels_where_the_walk_hears_indices():
    network = lambda x, label: x  # noqa: E731
    denoise = Preconditioned(network, IddpmCoefficients(TABLE))
    known = dataclasses.replace(REFERENCE, network=fingerprint(denoise))
    purifier = ssni_n_released(ddpm_released(denoise), known)
    assert isinstance(purifier.denoise.coefficients, IddpmCoefficients)
    assert isinstance(purifier.deviation.denoise.coefficients, VpCoefficients)


@pytest.mark.parametrize("make", [diffpure_sde_released, diffpure_ode_released])
def test_diffpure_takes_a_hundred_calls_and_noises_by_the_table(make):
    """Published constants: t_star 0.1 and dt 1e-3."""
    purifier = make(two_modes())
    done = run(purifier, keys(2), images(2))
    noise = np.sqrt(1 / np.prod(1 - np.linspace(1e-4, 2e-2, 1000)[:100]) - 1)
    assert jnp.all(done.n_calls == 100)
    np.testing.assert_allclose(purifier.schedule.sigma(done.t[0]), noise, rtol=1e-5)


def test_a_coarser_dt_takes_fewer_calls():
    done = run(diffpure_ode_released(two_modes(), t_star=0.05, dt=1e-2), keys(2), images(2))
    assert jnp.all(done.n_calls == 5)


def test_gradual_noise_scheduling_takes_the_published_470_calls():
    purifier = gns_released(two_modes())
    n_steps = [each.grid.n_steps for each in purifier.rounds]
    assert n_steps == [30, 30, 30, 30, 50, 50, 125, 125]
    np.testing.assert_allclose(purifier.times(jnp.zeros(1))[:, 0] * 1000, n_steps, rtol=1e-6)


def test_unperturbed_scores_need_no_keys_and_differ():
    x = 2 * images(4) - 1
    perturbed = ScoreNorm(two_modes(), VP(), calibration().n_levels)
    plain = dataclasses.replace(perturbed, perturbed=False)
    np.testing.assert_array_equal(plain(keys(4), x), plain(keys(4, seed=1), x))
    assert jnp.all(plain(keys(4), x) != perturbed(keys(4), x))


def test_the_norm_is_that_of_the_vector():
    x = 2 * images(4) - 1
    norm = ScoreNorm(two_modes(), VP(), 3)
    expected = jnp.linalg.norm(norm.vector(keys(4), x).reshape(4, -1), axis=1)
    np.testing.assert_allclose(norm(keys(4), x), expected, rtol=1e-6)


def test_whole_labels_below_survive_the_way_through_sigma():
    """floor(1000 t), for times that are multiples of a thousandth and for others."""
    k = np.arange(1, 1000)
    label = jax.jit(lambda t: VpCoefficients(VP(), 1000.0, floored=True)(VP().sigma(t)).noise)
    np.testing.assert_array_equal(label(jnp.asarray(k / 1000, jnp.float32)), k)
    np.testing.assert_array_equal(label(jnp.asarray(k / 1000 - 3e-4, jnp.float32)), k - 1)


@pytest.mark.parametrize(("sigma", "told"), [(0.25, 0.5853), (0.5, 1.0882), (1.0, 1.9233)])
def test_released_consistency_purification_noises_exactly_and_tells_the_nearest_level(sigma, told):
    purifier = consistency_released(Preconditioned(ShowsSigma(), ShowsLevel()), sigma=sigma)
    done = run(purifier, keys(2), images(2))
    np.testing.assert_allclose(2 * done.image - 1, told, rtol=1e-4)
    np.testing.assert_allclose(done.t, 2 * sigma, rtol=1e-6)


@pytree
class ShowsLevel:
    """Coefficients whose label is the noise level, and whose denoiser is the network's answer."""

    def __call__(self, sigma):
        return Coefficients(0 * sigma, 0 * sigma + 1, 0 * sigma + 1, sigma)
