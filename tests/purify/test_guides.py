import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.purify import (
    Annealed,
    Attention,
    Chain,
    ClippedEstimate,
    Constant,
    Estimated,
    Fixed,
    LowFrequencies,
    NegativeMse,
    Noised,
    OutsideKept,
    Plain,
    Purifier,
    Ragged,
    Round,
    Scan,
    Ssim,
    TowardsInput,
    Unguided,
)
from ssni_jax.purify.guides.guided import GUIDE
from ssni_jax.schedules import VP, DiscreteVP, Strided, Uniform
from ssni_jax.solvers import Ancestral, EulerMaruyama, Renoise
from tests.kit import Bright, Gaussian, called, images, keys, run, two_modes

B = 6
X = 2 * images(B) - 1
REFERENCE = 2 * images(B, seed=1) - 1
GUIDES = {
    "mse": TowardsInput(NegativeMse(), Annealed(1.0)),
    "ssim": TowardsInput(Ssim(window=3), Fixed(1.0), Plain()),
    "frequencies": LowFrequencies(1.0, 1.0, 0.3),
    "mask": OutsideKept(Bright(), 0.2),
    "clipped": ClippedEstimate(),
}


@pytree
class Scaled:
    """A guide whose estimate is the denoiser's times a factor."""

    factor: float

    def __call__(self, denoise, keys, reference):
        return lambda x, sigma: self.factor * denoise(x, sigma)


@pytree
class Drawn:
    """A guide whose estimate is noise from its keys."""

    def __call__(self, denoise, keys, reference):
        return lambda x, sigma: normal_like(keys, x)


@pytree
class Squares:
    """Activations of two blocks: the pixels, and their square at half the size."""

    def __call__(self, x):
        return x, jnp.square(x[:, ::2, ::2])


def guided(guide, x=X, reference=REFERENCE, sigma=0.3, denoise=None):
    """One estimate of a guided denoiser, in one program."""

    def estimate(guide, x, reference, sigma):
        return guide(denoise or two_modes(), keys(len(x)), reference)(x, jnp.full(len(x), sigma))

    return jax.jit(estimate)(guide, x, reference, sigma)


def spectrum(x):
    return np.fft.fft2((np.asarray(x, np.float64) + 1) / 2, axes=(1, 2))


@pytest.mark.parametrize("step", [Ancestral(), EulerMaruyama()], ids=repr)
@pytest.mark.parametrize("k", [2, 20, 100])
def test_guidance_moves_the_mean_of_a_ddpm_step_as_published_but_for_the_root_of_alpha(step, k):
    """Published: the mean of the scaled state moves by beta_k strength grad S(x_k, noised input)."""
    hi, lo = (DiscreteVP().sigma(jnp.full(B, j / 1000)) for j in (k, k - 1))
    abar, abar_before = (1 / (1 + jnp.square(sigma)) for sigma in (hi, lo))
    guide = TowardsInput(NegativeMse(), Annealed(600.0, 8 / 255), Noised())

    @jax.jit
    def guided_and_not(guide, hi, lo):
        towards = guide(two_modes(), keys(B, seed=3), REFERENCE)
        return step(keys(B), towards, X, hi, lo), step(keys(B), two_modes(), X, hi, lo)

    with_it, without = guided_and_not(guide, hi, lo)
    moved = with_it - without
    abar, abar_before, noise = (np.asarray(v) for v in (abar, abar_before, normal_like(keys(B, seed=3), X)))
    root, rest = (np.sqrt(v)[:, None, None, None] for v in (abar, 1 - abar))
    scaled_x, noised = root * np.asarray(X), root * np.asarray(REFERENCE) + rest * noise
    slope = -2 * (scaled_x - noised) / X[0].size
    m = 2 * (8 / 255) / 3 / 600.0
    strength = np.sqrt(1 - abar) / (m * np.sqrt(abar))
    alpha = abar / abar_before
    published = ((1 - alpha) * strength)[:, None, None, None] * slope
    scale = np.sqrt(abar_before * alpha)[:, None, None, None]
    np.testing.assert_allclose(scale * np.asarray(moved), published, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("walk", [Scan(), Ragged(4)], ids=repr)
def test_a_guide_draws_anew_in_every_step_and_not_what_the_step_draws(walk):
    """The last estimate is the result: that of the second step, with the keys of that step."""
    purifier = Purifier(two_modes(), VP(), (Round(Constant(0.1), Uniform(2), Renoise(), Drawn()),), walk=walk)
    done = jax.jit(lambda purifier, k, x: purifier(k, x))(purifier, keys(B), images(B))
    of_step = lambda i: fold(fold(fold(fold(keys(B), 1), 0), 2), i)  # noqa: E731
    np.testing.assert_allclose(2 * done - 1, normal_like(fold(of_step(1), GUIDE), X), atol=1e-5)
    drawn = [normal_like(k, X) for k in (of_step(1), fold(of_step(0), GUIDE), fold(of_step(1), GUIDE))]
    assert all(jnp.all(drawn[2] != other) for other in drawn[:2])


@pytest.mark.parametrize("name", GUIDES)
@pytest.mark.parametrize("sigma", [0.0, *(pytest.param(sigma, marks=pytest.mark.slow) for sigma in (1e-4, 0.3))])
def test_gradients_are_finite_at_no_noise_and_at_the_reference_itself(name, sigma):
    flat = jnp.zeros_like(X)
    for x, reference in [(X, REFERENCE), (X, X), (flat, flat)]:
        loss = lambda x, r: jnp.sum(jnp.sin(guided(GUIDES[name], x, r, sigma, Gaussian())))  # noqa: E731
        slopes = jax.grad(loss, (0, 1))(x, reference)
        assert all(np.all(np.isfinite(slope)) for slope in slopes)


@pytest.mark.parametrize("similarity", [NegativeMse(), Ssim(window=3)], ids=repr)
def test_guidance_climbs_its_similarity(similarity):
    """Seen from the identity: where the state lies before a small move and after it."""
    moved = guided(TowardsInput(similarity, Fixed(0.05), Plain()), denoise=lambda x, sigma: x)
    scale = 1 / jnp.sqrt(1 + 0.3**2)
    assert np.all(called(similarity, scale * moved, REFERENCE) > called(similarity, scale * X, REFERENCE))


def test_strength_is_that_of_one_image_whatever_its_batch():
    guide = TowardsInput(NegativeMse(), Fixed(3.0), Plain())
    np.testing.assert_allclose(guided(guide, X[:1], REFERENCE[:1]), guided(guide)[:1], rtol=1e-6)


def test_annealed_strength_is_the_published_scale():
    abar = np.asarray([0.999, 0.9, 0.5])
    m = 2 * 8 / 255 / 3 / 60000
    expected = np.sqrt(1 - abar) / (m * np.sqrt(abar))
    sigma = jnp.asarray(np.sqrt(1 / abar - 1), jnp.float32)
    np.testing.assert_allclose(Annealed(60000.0, 8 / 255)(sigma), expected, rtol=1e-5)


def test_ssim_of_an_image_with_itself_is_one_and_of_others_less():
    np.testing.assert_allclose(called(Ssim(window=3), X, X), 1, atol=1e-5)
    assert np.all(called(Ssim(window=3), X, REFERENCE) < 0.9)


def test_ssim_is_the_formula_in_a_gaussian_window_with_zeros_outside():
    x, r = (np.pad(np.asarray(v[0, :, :, 0], np.float64), 1) for v in (X, REFERENCE))
    line = np.exp(-np.square(np.arange(-1, 2) / 1.5) / 2)
    window = np.outer(line, line) / np.square(line.sum())
    c1, c2, total = 0.01**2, 0.03**2, []
    for i in range(X.shape[1]):
        for j in range(X.shape[2]):
            p, q = x[i : i + 3, j : j + 3], r[i : i + 3, j : j + 3]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * p * p).sum() - mp**2, (window * q * q).sum() - mq**2
            both = (window * p * q).sum() - mp * mq
            total.append((2 * mp * mq + c1) * (2 * both + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    np.testing.assert_allclose(called(Ssim(window=3), X, REFERENCE)[0], np.mean(total), rtol=1e-4)


def test_an_even_window_is_refused():
    with pytest.raises(ValueError, match=r"^A window around a pixel is odd, not window=4\.$"):
        Ssim(window=4)


def test_low_frequencies_have_the_references_amplitude_and_nearly_its_phase():
    """In the middle of the range, so that clipping to it changes nothing."""
    x, reference = 0.3 * X, 0.3 * REFERENCE
    found = spectrum(guided(LowFrequencies(1.0, 1.0, 0.2), x, reference, denoise=lambda x, sigma: x))
    own, given = spectrum(x), spectrum(reference)
    radius = np.hypot(np.fft.fftfreq(4, 1 / 4)[:, None], np.fft.fftfreq(3, 1 / 3))
    low, high = np.argwhere(radius <= 1), np.argwhere(radius > 1)
    assert len(low) == 5 and len(high) == 7
    for i, j in low:
        np.testing.assert_allclose(np.abs(found[:, i, j]), np.abs(given[:, i, j]), rtol=1e-4)
        wanted = np.clip(np.angle(own[:, i, j] / given[:, i, j]), -0.2, 0.2)
        np.testing.assert_allclose(np.angle(found[:, i, j] / given[:, i, j]), wanted, atol=1e-4)
    for i, j in high:
        np.testing.assert_allclose(found[:, i, j], own[:, i, j], atol=1e-4)


def test_all_frequencies_of_the_reference_are_the_reference():
    np.testing.assert_allclose(guided(LowFrequencies(9.0, 9.0, 0.0)), REFERENCE, atol=1e-5)


def test_outside_of_the_mask_the_image_is_kept_until_the_noise_is_low():
    mask = Bright()((REFERENCE + 1) / 2)
    denoised = guided(Unguided())
    above, below = (guided(OutsideKept(Bright(), sigma)) for sigma in (0.29, 0.31))
    np.testing.assert_allclose(above, mask * denoised + (1 - mask) * REFERENCE, atol=1e-6)
    np.testing.assert_array_equal(below, denoised)
    assert 0 < mask.mean() < 1


def test_pixels_outside_of_the_mask_get_less_noise():
    """With a denoiser that leaves things alone and no noise below the lower level, outside nothing is left of it."""
    guide = OutsideKept(Bright(), 1e-6)
    purifier = Purifier(lambda x, s: x, VP(), (Round(Constant(0.1), Strided(4, 0.1), Ancestral(eta=0.0), guide),))
    moved = np.abs(np.asarray(jax.jit(purifier.__call__)(keys(B), images(B))) - images(B))
    mask = np.asarray(Bright()(images(B)))
    assert np.all(moved[mask == 0] < 1e-6) and np.all(moved[mask == 1] > 1e-4)


def test_attention_is_the_largest_of_the_blocks_squared_activations_stretched_to_one():
    x = images(B)
    attention = np.asarray(called(Attention(Squares(), threshold=0.6), x))
    pixels = np.asarray(x)[..., 0] ** 2
    ends = [end(pixels, axis=(1, 2), keepdims=True) for end in (np.min, np.max)]
    certain = (pixels - ends[0]) / (ends[1] - ends[0]) >= 0.6
    assert attention.shape == (B, 4, 3, 1) and set(np.unique(attention)) == {0.0, 1.0}
    assert np.all(attention[..., 0][certain] == 1)
    assert np.all(called(Attention(Squares(), threshold=1.5), x) == 0)


def test_attention_to_a_blank_image_is_nowhere():
    assert np.all(called(Attention(Squares()), jnp.zeros((2, 4, 3, 1))) == 0)


def test_estimates_are_clipped_to_the_range_of_images():
    assert jnp.max(jnp.abs(guided(ClippedEstimate(), 5 * X, denoise=lambda x, sigma: x))) == 1


def test_a_chain_applies_its_first_guide_next_to_the_network():
    first, last = Chain((ClippedEstimate(), Scaled(3.0))), Chain((Scaled(3.0), ClippedEstimate()))
    assert jnp.max(jnp.abs(guided(first, 5 * X))) > 1.5
    assert jnp.max(jnp.abs(guided(last, 5 * X))) == 1


def test_the_guides_of_a_chain_draw_different_noise():
    noisy = TowardsInput(NegativeMse(), Fixed(1.0), Noised())
    once = guided(noisy, denoise=lambda x, s: 0 * x)
    twice = guided(Chain((noisy, noisy)), denoise=lambda x, s: 0 * x)
    assert np.all(np.abs(np.asarray(twice) - 2 * np.asarray(once)) > 1e-6)


def test_a_round_may_lean_towards_an_estimate_of_its_input_and_pays_for_it_once():
    plain = Round(Constant(0.1), Uniform(2), Ancestral(), LowFrequencies(9.0, 9.0, 0.0), repeats=3)
    towards = dataclasses.replace(plain, reference=Estimated(0.2))
    done = run(Purifier(two_modes(), VP(), (towards,)), keys(B), images(B))
    estimate = called(Estimated(0.2), two_modes(), fold(fold(keys(B), 1), 3), 2 * images(B) - 1)
    np.testing.assert_allclose(2 * done.image - 1, jnp.clip(estimate, -1, 1), atol=1e-5)
    assert jnp.all(done.n_calls == 3 * 2 + 1)
