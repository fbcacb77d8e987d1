import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import CrossEntropy, Objective
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.purify import Constant, Defense, Frozen, Purifier, Round, Rounded, SsniLinear, Undefended, Voting
from ssni_jax.purify.predictors import Predictor
from ssni_jax.schedules import VP, Uniform
from ssni_jax.solvers import Renoise
from tests.kit import ShowsSigma, images, keys, recipes

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


@pytree
class Noisy(Predictor):
    """A classifier of noised images."""

    def trace(self, keys, x, save=None):
        return Undefended(Curved()).trace(keys, x + 0.3 * normal_like(keys, x))


def by_level_only(level):
    """A defence whose result depends on the image through t(x) alone: the denoiser shows the noise it was told."""
    rounds = (Round(level, Uniform(1), Renoise()),)
    return Defense(Purifier(ShowsSigma(), VP(), rounds, PixelMean()), Curved())


LEVEL = SsniLinear(-1.0, 1.0, 0.1, 0.005)
SOFT = recipes()["ssni_n diffpure_ddpm"].soft()


@jax.jit
def gradient(objective, keys, predict, x):
    return objective.of(predict).gradient(keys, x, Y)


def loss_of(predict, keys, x):
    return jnp.sum(CrossEntropy()(predict.trace(keys, x), Y))


def test_the_eot_gradient_is_the_mean_of_the_gradients_of_its_draws():
    eot = gradient(Objective(n_draws=4), keys(B), Noisy(), X)
    single = jax.jit(jax.grad(lambda x, i: loss_of(Noisy(), fold(keys(B), i), x)))
    draws = jnp.stack([single(X, i) for i in range(4)])
    np.testing.assert_allclose(eot, jnp.mean(draws, axis=0), atol=1e-6)
    assert jnp.all(jnp.std(draws, axis=0).max(axis=(1, 2, 3)) > 1e-3)


def test_an_attack_on_the_vote_follows_the_gradient_of_the_log_mean_probability():
    """By hand, draw by draw; the mean of the losses of the same draws has another gradient."""
    draws = [fold(fold(keys(B), 0), i) for i in range(4)]

    @jax.jit
    @jax.grad
    def by_hand(x):
        logits = [Curved()(x + 0.3 * normal_like(key, x)) for key in draws]
        mean = sum(jnp.exp(v) / jnp.sum(jnp.exp(v), axis=1, keepdims=True) for v in logits) / 4
        return jnp.sum(-jnp.log(mean[jnp.arange(B), Y]))

    voted = gradient(Objective(differentiate=Voting(4)), keys(B), Noisy(), X)
    np.testing.assert_allclose(voted, by_hand(X), rtol=1e-4, atol=1e-5)
    averaged = gradient(Objective(n_draws=4), fold(keys(B), 0), Noisy(), X)
    assert jnp.max(jnp.abs(averaged - voted)) > 0.1


def test_many_draws_have_the_gradient_of_the_mean_loss():
    """sin(3 (x + s n)) averages to exp(-9 s^2 / 2) sin(3 x), so the margin of the mean is known."""

    @pytree
    class Difference:
        def __call__(self, trace, y):
            return trace.scores[:, 1] - trace.scores[:, 0]

    found = gradient(Objective(loss=Difference(), n_draws=2000, n_together=500), keys(B), Noisy(), X)
    expected = np.exp(-9 * 0.3**2 / 2) * jax.grad(lambda x: jnp.sum(Curved()(x)[:, 1] - Curved()(x)[:, 0]))(X)
    np.testing.assert_allclose(found, expected, atol=0.5)
    np.testing.assert_allclose(jnp.sum(found * expected) / jnp.sum(expected**2), 1, atol=0.02)


def test_a_soft_level_has_the_gradient_of_its_slope():
    defense = by_level_only(LEVEL)
    value = jax.jit(lambda x: loss_of(defense, keys(B), x))
    found, h = gradient(Objective(), keys(B), defense, X), 1e-2
    slope = (value(X + h) - value(X - h)) / (2 * h)
    assert jnp.abs(slope) > 1e-3
    np.testing.assert_allclose(jnp.sum(found), slope, rtol=1e-2)


@pytest.mark.parametrize("level", [Rounded(LEVEL), Frozen(LEVEL), Constant(0.1)], ids=repr)
def test_a_level_that_is_rounded_frozen_or_fixed_hides_its_slope(level):
    assert jnp.all(gradient(Objective(n_draws=2), keys(B), by_level_only(level), X) == 0)


def test_a_rounded_level_hides_a_slope_that_is_really_there():
    """What the sanity battery is for: differences over a whole integer step see what the gradient doesn't."""
    value = jax.jit(lambda x: loss_of(by_level_only(Rounded(LEVEL)), keys(B), x))
    assert jnp.abs(value(X + 0.05) - value(X - 0.05)) > 1e-3


def test_a_held_level_has_no_gradient_though_it_is_soft():
    assert jnp.all(gradient(Objective(n_draws=3, hold=True), keys(B), by_level_only(LEVEL), X) == 0)
    assert jnp.any(gradient(Objective(n_draws=3), keys(B), by_level_only(LEVEL), X) != 0)


def test_the_held_level_is_that_of_the_image_under_attack_for_every_draw():
    seen = []

    @pytree
    class Spy:
        def __call__(self, x):
            jax.debug.callback(lambda v: seen.append(np.asarray(v)), x[:, 0, 0, 0])
            return Curved()(x)

    defense = dataclasses.replace(by_level_only(LEVEL), classify=Spy())
    jax.block_until_ready(gradient(Objective(n_draws=3, hold=True), keys(B), defense, X))
    jax.effects_barrier()
    t = LEVEL(jnp.mean(2 * X - 1, axis=(1, 2, 3)))
    expected = (VP().sigma(t) + 1) / 2
    assert len(seen) >= 3
    for values in seen:
        np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.slow
def test_freezing_drops_the_path_through_the_score_norm_from_a_gradient_that_has_it():
    through = gradient(Objective(n_draws=1), keys(B), Defense(SOFT, Curved()), X)
    stopped = gradient(Objective(n_draws=1), keys(B), Defense(SOFT.frozen(), Curved()), X)
    assert jnp.all(jnp.isfinite(through)) and jnp.max(jnp.abs(through - stopped)) > 0.1


def test_the_gradient_through_the_score_norm_and_the_level_is_the_slope():
    defense = Defense(SOFT, Curved())
    value = jax.jit(lambda x: loss_of(defense, fold(keys(B), 0), x))
    direction, h = normal_like(keys(B, seed=8), X), 2e-3
    slope = (value(X + h * direction) - value(X - h * direction)) / (2 * h)
    found = gradient(Objective(), keys(B), defense, X)
    np.testing.assert_allclose(jnp.sum(found * direction), slope, rtol=2e-2)


@pytest.mark.slow
def test_held_draws_share_one_measurement_and_take_the_gradient_of_the_held_defence():
    defense = Defense(SOFT, Curved())
    held = jax.jit(defense.hold)(fold(keys(B), 0), X)
    by_hand = gradient(Objective(n_draws=2), fold(keys(B), 1), held, X)
    np.testing.assert_allclose(gradient(Objective(n_draws=2, hold=True), keys(B), defense, X), by_hand, atol=1e-5)


def test_an_average_over_no_draws_is_refused():
    with pytest.raises(ValueError, match="at least one draw, got n_draws=0"):
        Objective(n_draws=0)


def test_draws_a_few_at_a_time_are_the_same_draws():
    together, few = (gradient(Objective(n_draws=5, n_together=n), keys(B), Noisy(), X) for n in (None, 2))
    np.testing.assert_allclose(few, together, atol=1e-6)


def test_evaluations_and_samples_are_those_of_each_draw():
    objective = Objective(n_draws=3).of(Noisy())
    values, drawn = jax.jit(objective.evaluate)(keys(B), X, Y), jax.jit(objective.sample)(keys(B), X, Y)
    expected = jnp.stack([CrossEntropy()(Noisy().trace(fold(keys(B), i), X), Y) for i in range(3)])
    np.testing.assert_allclose(values.loss, expected, atol=1e-5)
    np.testing.assert_allclose(drawn.loss, values.loss, atol=1e-5)
    np.testing.assert_array_equal(drawn.wrong, values.wrong)
    answers = jnp.stack([jnp.argmax(Noisy()(fold(keys(B), i), X), axis=1) for i in range(3)])
    np.testing.assert_array_equal(drawn.wrong, answers != Y)
    ascent = jax.jit(objective.ascend)(keys(B), X, Y)
    np.testing.assert_allclose(ascent.wrong, jnp.mean(drawn.wrong.astype(float), axis=0), atol=1e-6)


def test_released_bookkeeping_counts_the_last_draw_and_follows_the_mean_gradient():
    usual, released = (Objective(Noisy(), n_draws=3, bookkeeping=name) for name in ("mean", "last"))
    run = jax.jit(lambda *rows: (usual.sample(*rows), usual.ascend(*rows), released.ascend(*rows)))
    drawn, mean, last = run(keys(B), X, Y)
    np.testing.assert_allclose(last.loss, drawn.loss[-1], atol=1e-6)
    np.testing.assert_array_equal(last.wrong, drawn.wrong[-1])
    np.testing.assert_allclose(last.gradient, mean.gradient, atol=1e-6)
    assert jnp.all(last.loss != mean.loss) and jnp.any(last.wrong != mean.wrong)


def test_fixed_keys_are_those_of_the_first_iteration():
    fixed, fresh = Objective(fixed_keys=True), Objective()
    bits = jax.random.key_data
    np.testing.assert_array_equal(bits(fixed.draw_keys(keys(B), 7)), bits(fresh.draw_keys(keys(B), 0)))
    assert jnp.any(bits(fresh.draw_keys(keys(B), 7)) != bits(fresh.draw_keys(keys(B), 0)))


def test_bookkeeping_of_another_name_is_refused():
    objective = Objective()
    object.__setattr__(objective, "bookkeeping", "first")  # the suite checks annotations, a user's config does not
    with pytest.raises(ValueError, match='bookkeeping must be "mean" or "last", got \'first\''):
        objective.__post_init__()
