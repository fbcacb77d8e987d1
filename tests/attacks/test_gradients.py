import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import CrossEntropy, Eot, HeldEot
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.purify import Constant, Defense, Frozen, Purifier, Round, Rounded, SsniLinear
from ssni_jax.recipes import soft
from ssni_jax.schedules import VP, Uniform
from ssni_jax.solvers import Renoise
from tests.kit import ShowsSigma, frozen, images, keys, recipes

B = 6
X = images(B)
Y = jnp.arange(B) % 2


@pytree
class PixelMean:
    """A deviation with a plain gradient: the mean of the image."""

    n_calls = 0

    def __call__(self, keys, x):
        return jnp.mean(x, axis=(1, 2, 3))


@pytree
class Curved:
    """Two logits, curved in the pixels so that the noise of a draw matters."""

    def __call__(self, x):
        pattern = jnp.linspace(-1.0, 2.0, x[0].size).reshape(x.shape[1:])
        score = jnp.sum(jnp.sin(3 * x) * pattern, axis=(1, 2, 3))
        return jnp.stack([score, -score], axis=1)


def noisy(keys, x):
    return Curved()(x + 0.3 * normal_like(keys, x))


def by_level_only(level):
    """A defence whose result depends on the image through t(x) alone: the denoiser shows the noise it was told."""
    rounds = (Round(level, Uniform(1), Renoise()),)
    return Defense(Purifier(ShowsSigma(), VP(), rounds, PixelMean()), Curved())


LEVEL = SsniLinear(-1.0, 1.0, 0.1, 0.005)
SOFT = soft(recipes()["ssni_n diffpure_ddpm"])
gradient = jax.jit(lambda how, keys, defense, x: how(keys, defense, CrossEntropy(), x, Y))


def test_the_eot_gradient_is_the_mean_of_the_gradients_of_its_draws():
    eot = jax.jit(lambda x: Eot(4)(keys(B), noisy, CrossEntropy(), x, Y))(X)
    single = jax.jit(jax.grad(lambda x, i: jnp.sum(CrossEntropy()(noisy(fold(keys(B), i), x), Y))))
    draws = jnp.stack([single(X, i) for i in range(4)])
    np.testing.assert_allclose(eot, jnp.mean(draws, axis=0), atol=1e-6)
    assert jnp.all(jnp.std(draws, axis=0).max(axis=(1, 2, 3)) > 1e-3)


def test_many_draws_have_the_gradient_of_the_mean_loss():
    """sin(3 (x + s n)) averages to exp(-9 s^2 / 2) sin(3 x), so the margin of the mean is known."""
    margin = lambda logits, y: logits[:, 1] - logits[:, 0]  # noqa: E731
    found = jax.jit(lambda x: Eot(2000)(keys(B), noisy, margin, x, Y))(X)
    expected = np.exp(-9 * 0.3**2 / 2) * jax.grad(lambda x: jnp.sum(margin(Curved()(x), Y)))(X)
    np.testing.assert_allclose(found, expected, atol=0.5)
    np.testing.assert_allclose(jnp.sum(found * expected) / jnp.sum(expected**2), 1, atol=0.02)


def test_a_soft_level_has_the_gradient_of_its_slope():
    defense = by_level_only(LEVEL)
    value = jax.jit(lambda x: jnp.sum(CrossEntropy()(defense(keys(B), x), Y)))
    found, h = gradient(Eot(1), keys(B), defense, X), 1e-2
    slope = (value(X + h) - value(X - h)) / (2 * h)
    assert jnp.abs(slope) > 1e-3
    np.testing.assert_allclose(jnp.sum(found), slope, rtol=1e-2)


@pytest.mark.parametrize("level", [Rounded(LEVEL), Frozen(LEVEL), Constant(0.1)], ids=repr)
def test_a_level_that_is_rounded_frozen_or_fixed_hides_its_slope(level):
    assert jnp.all(gradient(Eot(2), keys(B), by_level_only(level), X) == 0)


def test_a_rounded_level_hides_a_slope_that_is_really_there():
    """What the sanity battery is for: differences over a whole integer step see what the gradient doesn't."""
    value = jax.jit(lambda x: jnp.sum(CrossEntropy()(by_level_only(Rounded(LEVEL))(keys(B), x), Y)))
    assert jnp.abs(value(X + 0.05) - value(X - 0.05)) > 1e-3


def test_a_held_level_has_no_gradient_though_it_is_soft():
    assert jnp.all(gradient(HeldEot(3), keys(B), by_level_only(LEVEL), X) == 0)
    assert jnp.any(gradient(Eot(3), keys(B), by_level_only(LEVEL), X) != 0)


def test_the_held_level_is_that_of_the_image_under_attack_for_every_draw():
    seen = []

    @pytree
    class Spy:
        def __call__(self, x):
            jax.debug.callback(lambda v: seen.append(np.asarray(v)), x[:, 0, 0, 0])
            return Curved()(x)

    defense = dataclasses.replace(by_level_only(LEVEL), classify=Spy())
    jax.block_until_ready(gradient(HeldEot(3), keys(B), defense, X))
    jax.effects_barrier()
    t = LEVEL(jnp.mean(2 * X - 1, axis=(1, 2, 3)))
    expected = (VP().sigma(t) + 1) / 2
    assert len(seen) >= 3
    for values in seen:
        np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_freezing_drops_the_path_through_the_score_norm_from_a_gradient_that_has_it():
    through = gradient(Eot(1), keys(B), Defense(SOFT, Curved()), X)
    stopped = gradient(Eot(1), keys(B), Defense(frozen(SOFT), Curved()), X)
    assert jnp.all(jnp.isfinite(through)) and jnp.max(jnp.abs(through - stopped)) > 0.1


def test_the_gradient_through_the_score_norm_and_the_level_is_the_slope():
    defense = Defense(SOFT, Curved())
    value = jax.jit(lambda x: jnp.sum(CrossEntropy()(defense(fold(keys(B), 0), x), Y)))
    direction, h = normal_like(keys(B, seed=8), X), 2e-3
    slope = (value(X + h * direction) - value(X - h * direction)) / (2 * h)
    found = gradient(Eot(1), keys(B), defense, X)
    np.testing.assert_allclose(jnp.sum(found * direction), slope, rtol=2e-2)


def test_held_draws_share_one_measurement_and_take_the_gradient_of_the_held_defence():
    defense = Defense(SOFT, Curved())
    held = jax.jit(defense.hold)(fold(keys(B), 0), X)
    by_hand = gradient(Eot(2), fold(keys(B), 1), held, X)
    np.testing.assert_allclose(gradient(HeldEot(2), keys(B), defense, X), by_hand, atol=1e-5)


@pytest.mark.parametrize("kind", [Eot, HeldEot])
def test_an_average_over_no_draws_is_refused(kind):
    with pytest.raises(ValueError, match="at least one draw, not n_draws=0"):
        kind(0)
