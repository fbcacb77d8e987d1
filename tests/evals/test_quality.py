"""PSNR and SSIM: closed forms, scikit-image's numbers, and the law that a batch is a bag."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.evals import quality
from ssni_jax.evals.quality import largest_window

psnr, ssim = jax.jit(quality.psnr), jax.jit(quality.ssim)
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.uniform(size=(3, 16, 13, 2)), jnp.float32)
Y = jnp.clip(X + 0.2 * jnp.asarray(RNG.standard_normal(X.shape), jnp.float32), 0, 1)


@pytest.mark.parametrize(("difference", "decibels"), [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0)])
def test_a_uniform_difference_has_the_psnr_of_its_size(difference, decibels):
    x = jnp.zeros((2, 4, 4, 3))
    np.testing.assert_allclose(psnr(x, x + difference), decibels, atol=1e-3)


def test_equal_images_have_infinite_psnr_and_ssim_one():
    assert jnp.all(jnp.isposinf(psnr(X, X)))
    np.testing.assert_allclose(ssim(X, X), 1, atol=1e-6)


def test_flat_images_are_compared_by_their_means_alone():
    a, b = jnp.full((1, 12, 12, 1), 0.25), jnp.full((1, 12, 12, 1), 0.75)
    luminance = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    np.testing.assert_allclose(ssim(a, b), luminance, rtol=2e-4)


def test_an_image_and_its_negative_are_unlike():
    assert jnp.all(ssim(X, 1 - X) < 0)


def test_ssim_is_the_mean_over_every_place_of_the_window():
    """Written out, place by place, in float64."""
    at = np.arange(-5, 6)
    line = np.exp(-((at / 1.5) ** 2) / 2)
    weights = np.outer(line, line) / np.sum(line) ** 2
    x, y, places = np.asarray(X, float)[0], np.asarray(Y, float)[0], []
    for i in range(16 - 10):
        for j in range(13 - 10):
            for c in range(2):
                a, b = x[i : i + 11, j : j + 11, c], y[i : i + 11, j : j + 11, c]
                mean = lambda v: np.sum(weights * v)  # noqa: E731
                va, vb = mean((a - mean(a)) ** 2), mean((b - mean(b)) ** 2)
                both = mean((a - mean(a)) * (b - mean(b)))
                above = (2 * mean(a) * mean(b) + 1e-4) * (2 * both + 9e-4)
                places.append(above / ((mean(a) ** 2 + mean(b) ** 2 + 1e-4) * (va + vb + 9e-4)))
    np.testing.assert_allclose(ssim(X, Y)[0], np.mean(places), rtol=1e-5)


def test_scikit_image_agrees():
    """Its 0.26.0 with gaussian_weights, sigma=1.5, use_sample_covariance=False and data_range=1, in float64."""
    i, j, c = np.meshgrid(np.arange(14), np.arange(17), np.arange(3), indexing="ij")
    a = 0.5 + 0.5 * np.sin(0.7 * i + 0.4 * j * (c + 1))
    a, b = (jnp.asarray(x, jnp.float32)[None] for x in (a, 0.9 * a + 0.1 * np.cos(i * j + c) ** 2))
    np.testing.assert_allclose(ssim(a, b), 0.9893154767675089, rtol=1e-6)
    np.testing.assert_allclose(psnr(a, b), 26.17499186317999, rtol=1e-6)


@pytest.mark.parametrize(("size", "window"), [(1, 1), (2, 1), (7, 7), (8, 7), (10, 9), (11, 11), (32, 11)])
def test_a_small_image_gets_the_widest_odd_window_that_fits(size, window):
    assert largest_window(size, 40) == largest_window(40, size) == window


def test_digits_are_compared_under_seven_pixels():
    """A window of 7 stands in four places of an 8 x 8 image, and a change in its corner is seen from one of them."""
    x = jnp.zeros((1, 8, 8, 1)).at[0, 7, 7, 0].set(1.0)
    line = np.exp(-((np.arange(-3, 4) / 1.5) ** 2) / 2)
    w = (line[-1] / line.sum()) ** 2
    touched = (1e-4 / (w**2 + 1e-4)) * (9e-4 / (w - w**2 + 9e-4))
    np.testing.assert_allclose(ssim(x, jnp.zeros_like(x)), (3 + touched) / 4, rtol=1e-4)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_a_pair_does_not_depend_on_its_batch(metric):
    np.testing.assert_allclose(metric(X, Y)[1:2], metric(X[1:2], Y[1:2]), rtol=1e-5)
    np.testing.assert_allclose(metric(X, Y), metric(Y, X), rtol=1e-5)
