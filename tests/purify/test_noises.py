"""How rounds begin, against closed forms: energy of the noise, its reduction to white noise, and where it lies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.purify import Amplified, AsGiven, Diffused, GivenMask, GivenNoise, ManiNoise, Masked
from ssni_jax.purify.mani_noise import rings
from tests.kit import Bright, called, given_noise, images, keys

B = 4
X = 2 * np.asarray(images(B)) - 1
SIGMA = np.linspace(0.1, 0.8, B, dtype=np.float32)
WHITE = np.asarray(called(Diffused(), keys(B), X, SIGMA))
SIDE, MANY = (8, 6, 2), 3000
IMAGE = 2 * np.asarray(images(1, shape=SIDE)[0]) - 1
FORMS = ("edges", "filter")


def draws(noise, x=IMAGE):
    """Many draws of what is added to one image at level one."""
    return np.asarray(called(noise, keys(MANY), np.tile(x, (MANY, 1, 1, 1)), np.ones(MANY, np.float32))) - x


def weights(x, bands=8, gamma=1.8, floor=1e-3):
    """Equations 8 and 9 in float64, one band and channel after the other."""
    radius = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in x.shape[:2]), indexing="ij"))
    number = np.minimum((bands * radius / radius.max()).astype(int), bands - 1)
    amplitude, by_hand = np.abs(np.fft.fft2(x, axes=(0, 1))), np.zeros(x.shape)
    for band in np.unique(number):
        for c in range(x.shape[2]):
            by_hand[number == band, c] = 1 / (amplitude[number == band, c].mean() ** gamma + floor)
    return by_hand


@pytest.mark.parametrize("form", FORMS)
def test_mani_noise_has_the_energy_of_white_noise(form):
    assert np.mean(np.square(draws(ManiNoise(form)))) == pytest.approx(1.0, rel=0.03)


def test_filtered_mani_noise_has_the_power_that_the_papers_weights_say():
    power = np.mean(np.abs(np.fft.fft2(draws(ManiNoise("filter")), axes=(1, 2))) ** 2, axis=0) / (SIDE[0] * SIDE[1])
    np.testing.assert_allclose(power, weights(IMAGE) / weights(IMAGE).mean(), rtol=0.12)


def test_edges_are_the_image_under_the_papers_weights():
    field = np.fft.ifft2(weights(IMAGE) * np.fft.fft2(IMAGE, axes=(0, 1)), axes=(0, 1)).real
    expected = np.abs(field) / np.sqrt(np.mean(field**2))
    np.testing.assert_allclose(draws(ManiNoise("edges")).std(axis=0), expected, rtol=0.06, atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_mani_noise_is_white_noise_where_the_spectrum_is_flat(form):
    """The outer product of the Barker sequence of length 4 has |F| = 4 at every frequency, and |x| = 1 everywhere."""
    barker = np.asarray([1.0, 1.0, 1.0, -1.0], np.float32)
    x = np.tile((barker[:, None] * barker)[..., None], (B, 1, 1, 1))
    white = np.asarray(called(Diffused(), keys(B), x, SIGMA)) - x
    added = np.asarray(called(ManiNoise(form), keys(B), x, SIGMA)) - x
    np.testing.assert_allclose(added, white * (np.sign(x) if form == "edges" else 1), atol=1e-5)


def test_rings_divide_the_frequencies_and_the_first_has_the_mean():
    inside = rings(8, 8, 8)
    assert inside.shape == (8, 8, 8) and np.all(inside.sum(axis=2) == 1)
    assert inside[0, 0, 0] == inside[..., 0].sum() == inside[4, 4, 7] == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_blank_image_gets_finite_noise_and_gradients(form):
    blank = np.stack([np.zeros(SIDE, np.float32), np.ones(SIDE, np.float32)])
    slope = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(ManiNoise(form)(keys(2), x, jnp.ones(2))))))
    assert np.all(np.isfinite(slope(blank)))


def test_a_spectrum_without_bands_is_refused():
    with pytest.raises(ValueError, match="at least one band, got bands=0"):
        ManiNoise(bands=0)


def test_masked_noise_leaves_the_pixels_outside_and_scales_by_the_intensity():
    masked, inside = np.asarray(called(Masked(Bright()), keys(B), X, SIGMA)), np.asarray(X > 0)
    np.testing.assert_array_equal(masked[~inside], X[~inside])
    np.testing.assert_allclose(masked[inside], WHITE[inside], atol=1e-6)
    half = called(Masked(GivenMask(jnp.full((4, 3, 1), 0.5))), keys(B), X, SIGMA)
    np.testing.assert_allclose(half, (X + WHITE) / 2, atol=1e-6)


def test_given_noise_ignores_the_keys_and_amplified_noise_is_that_of_a_higher_level():
    expected = X + SIGMA[:, None, None, None] * np.asarray(given_noise())
    for noise in (GivenNoise(given_noise()), GivenNoise(jnp.asarray(np.tile(given_noise(), (B, 1, 1, 1))))):
        np.testing.assert_allclose(called(noise, keys(B, seed=3), X, SIGMA), expected, rtol=1e-6)
    np.testing.assert_allclose(called(Amplified(2.0), keys(B), X, SIGMA), 2 * WHITE - X, atol=1e-6)


def test_values_of_noise_go_inside_each_other():
    both = Amplified(2.0, Masked(Bright(0.0), GivenNoise(given_noise())))
    expected = X + 2 * SIGMA[:, None, None, None] * np.asarray(given_noise())
    np.testing.assert_allclose(called(both, keys(B), X, SIGMA), expected, atol=1e-6)
    np.testing.assert_array_equal(called(AsGiven(), keys(B), X, SIGMA), X)
