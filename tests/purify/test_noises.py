"""How rounds begin, against closed forms: energy of the noise, its reduction to white noise, and where it lies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.rng import normal_like
from ssni_jax.purify import Amplified, AsGiven, Diffused, GivenMask, GivenNoise, ManiNoise, Masked
from ssni_jax.purify.mani_noise import rings
from ssni_jax.solvers import diffuse
from tests.kit import Bright, called, given_noise, images, keys

B = 4
X = 2 * images(B) - 1
SIGMA = jnp.linspace(0.1, 0.8, B)
SIDE = (8, 6, 2)
LARGER = 2 * images(B, shape=SIDE) - 1
MANY = 4000
FORMS = ("edges", "filter")


def energy(noise, x):
    """Mean square of the added noise over many draws and all pixels."""
    state = called(noise, keys(MANY), jnp.broadcast_to(x, (MANY, *x.shape)), jnp.ones(MANY))
    return float(jnp.mean(jnp.square(state - x)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("noise", [ManiNoise(), ManiNoise(bands=3, gamma=1.0)], ids=["paper", "three bands"])
def test_mani_noise_has_the_energy_of_white_noise(form, noise):
    weighted = ManiNoise(form, noise.bands, noise.gamma)
    assert energy(weighted, LARGER[0]) == pytest.approx(1.0, rel=0.03)


@pytest.mark.parametrize("form", FORMS)
def test_mani_noise_is_white_noise_where_the_spectrum_is_flat(form):
    """The outer product of the Barker sequence of length 4 has |F| = 4 at every frequency, and |x| = 1 everywhere."""
    barker = jnp.asarray([1.0, 1.0, 1.0, -1.0])
    x = jnp.broadcast_to(barker[:, None] * barker, (B, 4, 4))[..., None]
    signs = jnp.sign(x) if form == "edges" else 1.0
    expected = x + SIGMA[:, None, None, None] * signs * normal_like(keys(B), x)
    np.testing.assert_allclose(called(ManiNoise(form), keys(B), x, SIGMA), expected, atol=1e-5)


def test_filtered_mani_noise_is_white_noise_for_a_single_bright_pixel_whose_spectrum_is_flat():
    x = jnp.zeros((B, *SIDE)).at[:, 3, 2].set(1.0)
    np.testing.assert_allclose(
        called(ManiNoise("filter"), keys(B), x, SIGMA), called(Diffused(), keys(B), x, SIGMA), atol=1e-5
    )


def test_filtered_mani_noise_has_the_power_that_the_weights_say():
    noise, x = ManiNoise("filter"), LARGER[0]
    state = called(noise, keys(MANY), jnp.broadcast_to(x, (MANY, *x.shape)), jnp.ones(MANY))
    power = np.mean(np.abs(np.fft.fft2(np.asarray(state - x), axes=(1, 2))) ** 2, axis=0) / (SIDE[0] * SIDE[1])
    weights = np.asarray(noise.weights(x[None])[0])
    np.testing.assert_allclose(power, weights / weights.mean(), rtol=0.12)


def weights_by_hand(x, bands, gamma, floor):
    """Equations 8 and 9 in float64, one band and channel after the other."""
    radius = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in x.shape[:2]), indexing="ij"))
    number = np.minimum((bands * radius / radius.max()).astype(int), bands - 1)
    amplitude, weights = np.abs(np.fft.fft2(x, axes=(0, 1))), np.zeros(x.shape)
    for band in range(bands):
        for c in range(x.shape[2]):
            inside = number == band
            if inside.any():
                weights[inside, c] = 1 / (amplitude[inside, c].mean() ** gamma + floor)
    return weights


def test_the_weights_are_those_of_the_papers_equations():
    by_hand = weights_by_hand(np.asarray(LARGER[0], np.float64), 8, 1.8, 1e-3)
    np.testing.assert_allclose(called(ManiNoise().weights, LARGER)[0], by_hand, rtol=1e-4)


def test_edges_are_the_weighted_image():
    x = LARGER[0]
    field = np.fft.ifft2(weights_by_hand(np.asarray(x, np.float64), 8, 1.8, 1e-3) * np.fft.fft2(x, axes=(0, 1)), axes=(0, 1))
    intensity = field.real / np.sqrt(np.mean(field.real**2))
    added = called(ManiNoise("edges"), keys(1), x[None], jnp.ones(1))[0] - x
    np.testing.assert_allclose(added, intensity * normal_like(keys(1), x[None])[0], rtol=1e-3, atol=1e-4)


def test_rings_divide_the_frequencies_and_the_first_has_the_mean():
    inside = rings(8, 8, 8)
    assert inside.shape == (8, 8, 8) and np.all(inside.sum(axis=2) == 1) and inside[0, 0, 0] == 1
    assert inside[..., 0].sum() == 1 and inside[4, 4, 7] == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_blank_image_gets_finite_noise_and_gradients(form):
    slope = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(ManiNoise(form)(keys(1), x, jnp.ones(1))))))
    assert jnp.all(jnp.isfinite(slope(jnp.zeros((1, *SIDE))))) and jnp.all(jnp.isfinite(slope(jnp.ones((1, *SIDE)))))


@pytest.mark.parametrize(("options", "said"), [({"form": "bands"}, "edges, filter, got 'bands'"), ({"bands": 0}, "=0")])
def test_another_reading_or_no_band_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        ManiNoise(**options)


def test_masked_noise_leaves_the_pixels_outside_and_scales_by_the_intensity():
    plain, masked = called(Diffused(), keys(B), X, SIGMA), called(Masked(Bright()), keys(B), X, SIGMA)
    inside = np.asarray(Bright()((X + 1) / 2), bool)
    np.testing.assert_array_equal(np.asarray(masked)[~inside], np.asarray(X)[~inside])
    np.testing.assert_allclose(np.asarray(masked)[inside], np.asarray(plain)[inside], atol=1e-6)
    half = Masked(GivenMask(jnp.full((4, 3, 1), 0.5)))
    np.testing.assert_allclose(called(half, keys(B), X, SIGMA), called(Diffused(), keys(B), X, SIGMA / 2), atol=1e-6)


def test_given_noise_ignores_the_keys_and_amplified_noise_is_that_of_a_higher_level():
    expected = X + SIGMA[:, None, None, None] * given_noise()
    for noise in (GivenNoise(given_noise()), GivenNoise(jnp.broadcast_to(given_noise(), X.shape))):
        np.testing.assert_allclose(noise(keys(B, seed=3), X, SIGMA), expected, rtol=1e-6)
    np.testing.assert_allclose(called(Amplified(2.0), keys(B), X, SIGMA), diffuse(keys(B), X, 2 * SIGMA), atol=1e-6)


def test_values_of_noise_go_inside_each_other():
    both = Amplified(2.0, Masked(Bright(0.0), GivenNoise(given_noise())))
    np.testing.assert_allclose(both(keys(B), X, SIGMA), GivenNoise(given_noise())(keys(B), X, 2 * SIGMA), atol=1e-6)
    np.testing.assert_array_equal(AsGiven()(keys(B), X, SIGMA), X)
