"""Predictions over a mesh are the defence's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import Linf, Objective, Pgd
from ssni_jax.core.pytree import pytree
from ssni_jax.dist import make_mesh, rows
from ssni_jax.evals import attacked
from ssni_jax.evals.attacked import make_driver
from ssni_jax.evals.prediction import make_predict
from ssni_jax.purify import Defense, Noisy, Undefended, Vote, predictor
from tests.kit import SHAPE, Linear, images, keys, recipes

CLASSIFY = Linear(np.random.default_rng(0).normal(size=(int(np.prod(SHAPE)), 5)).astype(np.float32))


@pytest.mark.parametrize(("name", "n_devices"), [("ssni_n diffpure_ddpm", 8), ("unpurified", 8)])
def test_a_sharded_ragged_prediction_is_the_defences_own(name, n_devices):
    defense = Undefended(CLASSIFY) if name == "unpurified" else Defense(recipes()[name], CLASSIFY)
    found = make_predict(make_mesh(devices=jax.devices()[:n_devices]), n_slots=3)(defense, keys(16), images(16))
    expected = jax.jit(lambda defense: defense.trace(keys(16), images(16)))(defense)
    np.testing.assert_allclose(found.image, expected.image, atol=2e-6)
    np.testing.assert_allclose(found.logits, expected.logits, atol=2e-5)
    np.testing.assert_array_equal(found.t, expected.t)
    np.testing.assert_array_equal(found.n_calls, expected.n_calls)


@pytest.mark.slow
@pytest.mark.parametrize("n_devices", [8])
def test_a_vote_is_dealt_too_and_gives_its_own_labels(n_devices):
    vote = Vote(Defense(recipes()["ssni_n diffpure_ddpm"], CLASSIFY), 3)
    predict = make_predict(make_mesh(devices=jax.devices()[:n_devices]), n_slots=3)
    trace, expected = predict(vote, keys(16), images(16)), jax.jit(lambda v: v.trace(keys(16), images(16)))(vote)
    np.testing.assert_array_equal(trace.labels, expected.labels)
    np.testing.assert_allclose(trace.logits, expected.logits, atol=2e-5)
    np.testing.assert_array_equal(trace.n_calls, expected.n_calls)


def test_any_pytree_with_the_methods_is_predicted():
    @pytree
    class Own:
        classify: Linear

        def __call__(self, keys, x):
            return self.trace(keys, x).logits

        def trace(self, keys, x, save=None):
            return predictor(self.classify).trace(keys, x)

        def hold(self, keys, x):
            return self

        at_noise = with_steps = lambda self, value: self
        soft = scanned = lambda self: self

        def ragged(self, n_slots=16):
            return self

    predict = make_predict(make_mesh(), n_slots=3)
    np.testing.assert_allclose(predict(Own(CLASSIFY), keys(16), images(16)).logits, CLASSIFY(images(16)), atol=2e-5)
    voted = predict(Vote(Own(CLASSIFY), 3), keys(16), images(16)).labels
    np.testing.assert_array_equal(voted, np.tile(np.argmax(CLASSIFY(images(16)), axis=1)[:, None], 3))


def test_a_vote_that_measures_nothing_is_its_own():
    vote = Vote(Noisy(CLASSIFY, 0.3), 3)
    trace = make_predict(make_mesh(), n_slots=3)(vote, keys(16), images(16))
    expected = jax.jit(lambda vote: vote.trace(keys(16), images(16)))(vote)
    np.testing.assert_array_equal(trace.labels, expected.labels)
    np.testing.assert_allclose(trace.logits, expected.logits, atol=2e-5)


def test_a_plain_function_is_a_predictor_under_every_transformation():
    plain = predictor(lambda x: x.reshape(len(x), -1) @ CLASSIFY.weight)
    changed = plain.hold(keys(4), images(4)).at_noise(0.5).with_steps(2).soft().straight_through().frozen()
    for predict in (plain, changed.ragged(3), changed.scanned().fixed().undefended()):
        np.testing.assert_allclose(predict(keys(4), images(4)), CLASSIFY(images(4)), atol=1e-5)


def test_a_chunk_ends_where_the_iterates_are_judged(monkeypatch):
    monkeypatch.setattr(attacked, "platform_of", lambda mesh: "gpu")
    chunks = [make_driver(make_mesh(), Pgd(n_steps=100), None, every).n_chunk for every in (None, 30, 10, 7)]
    assert chunks == [25, 15, 10, 7]


def test_an_attack_in_chunks_gives_its_curve_and_the_images_of_one_scan():
    mesh = make_mesh()
    x, y = jax.device_put((images(8), jnp.arange(8) % 5), rows(mesh))
    attack, objective = Pgd(Linf(0.1), 0.03, 4), Objective(n_draws=2).of(predictor(CLASSIFY))
    assert make_driver(mesh, attack).n_chunk == 1
    driver = make_driver(mesh, attack, n_chunk=3)
    state, curve, mask = driver.init(attack, objective, keys(8), x, y), [], jnp.arange(8) < 6
    for i, n_made in ((0, 3), (3, 1)):
        chunk = driver.advance(attack, objective, keys(8), jnp.asarray(i), state, x, y)
        seen = driver.summary(chunk.loss, chunk.broken, n_made - 1, mask, 0.5)
        np.testing.assert_allclose(seen.loss[:n_made], np.mean(chunk.loss[:n_made, :6], axis=1), rtol=1e-6)
        assert bool(seen.is_over) == np.all(np.asarray(chunk.broken)[n_made - 1, :6] > 0.5)
        state, curve = chunk.state, [*curve, *seen.loss[:n_made].tolist()]
    result = driver.result(attack, state)

    def scanned(x):
        def iterate(state, i):
            return attack.update(keys(8), i, objective, state, x, y), None

        start = attack.init(keys(8), objective, x, y)
        return attack.result(jax.lax.scan(iterate, start, jnp.arange(attack.n_iterations))[0]).image

    np.testing.assert_allclose(result.image, jax.jit(scanned)(images(8)), atol=1e-5)
    assert len(curve) == 4 and curve[-1] > curve[0] and jnp.all(result.n_queries == 8)


def test_a_chunk_is_over_once_every_image_has_more_than_the_share_of_wrong_draws():
    driver = make_driver(make_mesh(), Pgd())
    broken, mask = jnp.asarray([[1.0, 0.0, 0.0], [1.0, 0.5, 0.0]]), jnp.asarray([True, True, False])
    over = [bool(driver.summary(broken, broken, last, mask, at).is_over) for last, at in ((1, 0.4), (1, 0.5), (0, 0.4))]
    assert over == [True, False, False]
