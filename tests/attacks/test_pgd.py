import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import L2, CrossEntropy, Linf, Margin, Objective, Pgd, Sign
from ssni_jax.core.pytree import pytree
from ssni_jax.purify.predictors import Predictor
from tests.attacks.kit import NanInTheDark, NoisyLinear, driven
from tests.kit import images, keys, with_leaves

B = 16
X = 0.25 + 0.5 * images(B)
Y = jnp.arange(B) % 3
CORNERS = jnp.round(images(B))


TWO = NoisyLinear(jnp.asarray(np.random.default_rng(3).normal(size=(4, 3, 1, 2)), jnp.float32))
THREE = NoisyLinear(jnp.asarray(np.random.default_rng(4).normal(size=(4, 3, 1, 3)), jnp.float32), noise=0.1)


@jax.jit
def attack(pgd, predict, keys, x, y, objective=Objective()):
    return driven(pgd, objective.of(predict), keys, x, y).image


@jax.jit
def loss_of(predict, x, y):
    return CrossEntropy()(predict.trace(keys(len(x)), x), y)


def ascent(y):
    """The direction that lowers the true of two logits."""
    difference = TWO.weights[..., 1] - TWO.weights[..., 0]
    return jnp.where((y == 0)[:, None, None, None], difference, -difference)


@pytest.mark.parametrize("x", [X, CORNERS], ids=["inside", "corners"])
@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.4), L2(0.4, Sign())], ids=repr)
def test_pgd_stays_in_the_ball_and_in_the_image_range_and_raises_the_loss(threat, x):
    found = attack(Pgd(threat, 0.05, 6, random_start=True), THREE, keys(B), x, Y)
    change = (np.asarray(found) - np.asarray(x)).reshape(B, -1)
    norm = np.abs(change).max(axis=1) if isinstance(threat, Linf) else np.linalg.norm(change, axis=1)
    assert np.all(norm <= threat.eps + 1e-6) and np.min(found) >= 0 and np.max(found) <= 1
    assert np.all(np.asarray(loss_of(THREE, found, Y)) > np.asarray(loss_of(THREE, x, Y)))


@pytest.mark.parametrize("loss", [CrossEntropy(), Margin()], ids=repr)
def test_on_a_linear_classifier_linf_pgd_finds_the_sign_solution(loss):
    y = Y % 2
    found = attack(Pgd(Linf(0.1), 0.03, 8), TWO, keys(B), X, y, Objective(loss=loss))
    np.testing.assert_allclose(found, X + 0.1 * jnp.sign(ascent(y)), atol=1e-6)


def test_on_a_linear_classifier_l2_pgd_finds_the_unit_direction():
    y = Y % 2
    found = attack(Pgd(L2(0.2), 0.05, 8), TWO, keys(B), X, y)
    direction = ascent(y) / jnp.sqrt(jnp.sum(ascent(y) ** 2, axis=(1, 2, 3), keepdims=True))
    np.testing.assert_allclose(found, X + 0.2 * direction, atol=1e-5)


def test_a_confident_classifier_does_not_stop_l2_pgd():
    """At a margin of 60 the cross-entropy has gradients near 1e-26, whose squares vanish in float32."""
    pattern = TWO.weights[..., :1]
    classifier = NoisyLinear(jnp.concatenate([pattern, -pattern], axis=-1))
    margin = classifier(keys(B), X)[:, 0] * 2
    sure = with_leaves(classifier, weights=lambda w: 60 * w / jnp.max(jnp.abs(margin)))
    found = attack(Pgd(L2(0.2), 0.05, 4), sure, keys(B), X, jnp.where(margin > 0, 0, 1))
    unit = (pattern / jnp.sqrt(jnp.sum(pattern**2)))[..., 0]
    np.testing.assert_allclose(found, X - 0.2 * jnp.sign(margin)[:, None, None, None] * unit, atol=1e-5)


def test_radius_zero_leaves_the_image():
    np.testing.assert_array_equal(attack(Pgd(Linf(0.0), 0.05, 6), THREE, keys(B), X, Y), X)


def test_a_zero_gradient_leaves_the_image():
    flat = NoisyLinear(jnp.zeros_like(THREE.weights))
    for threat in (Linf(0.1), L2(0.4)):
        np.testing.assert_allclose(attack(Pgd(threat, 0.05, 6), flat, keys(B), X, Y), X, atol=1e-7)


def test_a_random_start_differs_by_key_and_its_absence_does_not_need_one():
    still = NoisyLinear(0 * THREE.weights)
    start = [attack(Pgd(Linf(0.1), 0.0, 1, random_start=True), still, keys(B, seed), X, Y) for seed in (0, 1)]
    assert jnp.all(jnp.any(start[0] != start[1], axis=(1, 2, 3))) and jnp.all(start[0] != X)
    np.testing.assert_array_equal(attack(Pgd(Linf(0.1), 0.0, 1), still, keys(B), X, Y), X)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.4)], ids=repr)
def test_nan_is_loud_and_stays_in_its_own_row(threat):
    found = attack(Pgd(threat, 0.01, 3), NanInTheDark(THREE), keys(B), X.at[5].set(0.1), Y)
    np.testing.assert_array_equal(jnp.any(jnp.isnan(found), axis=(1, 2, 3)), jnp.arange(B) == 5)


def test_three_radii_and_step_sizes_are_one_trace():
    traces = []

    @jax.jit
    def traced(pgd, x):
        traces.append(1)
        return driven(pgd, Objective().of(THREE), keys(B), x, Y).image

    pgd = Pgd(Linf(0.1), 0.05, 4)
    results = [
        traced(with_leaves(pgd, eps=lambda eps, k=k: k * eps, step_size=lambda s, k=k: k * s), X) for k in (0.5, 1, 2)
    ]
    sizes = [float(jnp.max(jnp.abs(found - X))) for found in results]
    np.testing.assert_allclose(sizes, [0.05, 0.1, 0.2], rtol=1e-4)
    assert len(traces) == 1


def test_a_row_is_attacked_alike_alone_and_in_any_batch():
    pgd, eot = Pgd(L2(0.3), 0.05, 4, random_start=True, n_restarts=2, keep="best"), Objective(n_draws=3)
    whole, reverse = attack(pgd, THREE, keys(B), X, Y, eot), attack(pgd, THREE, keys(B)[::-1], X[::-1], Y[::-1], eot)
    np.testing.assert_allclose(reverse[::-1], whole, atol=1e-5)
    np.testing.assert_allclose(attack(pgd, THREE, keys(B)[4:5], X[4:5], Y[4:5], eot)[0], whole[4], atol=1e-5)


def test_every_iteration_draws_afresh():
    """With a step of zero only the gradient could change, so the draws are read off a spy."""
    drawn = []

    @pytree
    class Spy(Predictor):
        def trace(self, keys, x, save=None):
            bits = jax.random.key_data(keys)
            jax.debug.callback(lambda bits: drawn.extend(map(tuple, np.asarray(bits).tolist())), bits)
            return THREE.trace(keys, x)

    jax.block_until_ready(attack(Pgd(Linf(0.1), 0.0, 3), Spy(), keys(B), X, Y, Objective(n_draws=2)))
    jax.effects_barrier()
    assert len(drawn) == len(set(drawn)) == 3 * 2 * B


@pytest.mark.parametrize(("field", "said"), [("n_steps", "at least one step, got n_steps=0")])
def test_an_attack_of_no_steps_is_refused(field, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(Pgd(), **{field: 0})


def test_the_best_iterate_is_kept_with_its_loss_and_answers():
    """A step far too long overshoots, so that the last iterate is not the best."""
    pgd = Pgd(Linf(0.3), 0.25, 5, keep="best")
    still = with_leaves(THREE, noise=lambda _: 0.0)
    best = jax.jit(lambda: driven(pgd, Objective().of(still), keys(B), X, Y))()
    np.testing.assert_allclose(best.loss, loss_of(still, best.image, Y), rtol=1e-4)
    np.testing.assert_array_equal(best.broken, jnp.argmax(still(keys(B), best.image), axis=1) != Y)
    assert jnp.all(best.loss >= loss_of(still, X, Y) - 1e-6) and jnp.all(best.n_queries == 5)


def test_more_restarts_never_lower_the_best_loss():
    still = with_leaves(THREE, noise=lambda _: 0.0)
    once, thrice = (
        jax.jit(lambda n=n: driven(
            Pgd(Linf(0.1), 0.02, 2, random_start=True, n_restarts=n, keep="best"), Objective().of(still), keys(B), X, Y
        ))()
        for n in (1, 3)
    )  # fmt: skip
    assert jnp.all(thrice.loss >= once.loss - 1e-6) and jnp.any(thrice.loss > once.loss + 1e-3)
    with pytest.raises(ValueError, match="2 restarts need"):
        Pgd(n_restarts=2)
