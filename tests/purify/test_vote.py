import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.purify import Defense, Vote, predictor
from ssni_jax.purify.predictors import Predictor
from tests.kit import called, images, keys, recipes

B = 6
X = images(B)


@pytree
class Noisy(Predictor):
    """Logits of three classes: the image's first pixels, and noise from the keys."""

    std: float = 2.0

    def trace(self, keys, x, save=None):
        logits = 4 * x[:, :3, 0, 0] + self.std * normal_like(keys, x)[:, :3, 0, 0]
        return predictor(lambda x: logits).trace(keys, x)


@pytree
class Listed(Predictor):
    """Logits of draw after draw from a list, told apart by their keys."""

    logits: jax.Array
    keys: jax.Array

    def trace(self, keys, x, save=None):
        data = jax.random.key_data(keys)[0]
        known = jnp.stack([jax.random.key_data(fold(self.keys, i))[0] for i in range(len(self.logits))])
        found = jnp.argmax(jnp.all(known == data, axis=1))
        logits = jnp.broadcast_to(self.logits[found], (x.shape[0], self.logits.shape[1]))
        return predictor(lambda x: logits).trace(keys, x)


@pytree
class Pixels:
    """Logits of three classes."""

    def __call__(self, x):
        return 9 * x[:, :3, 0, 0]


def listed(*logits):
    vote = Vote(Listed(jnp.asarray(logits, jnp.float32), keys(1)), len(logits))
    return np.asarray(called(vote, keys(1), X[:1]))[0]


def draws(n):
    return np.stack([called(Noisy(), fold(keys(B), i), X) for i in range(n)])


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def test_a_vote_counts_the_draws_for_each_class():
    votes = np.eye(3)[np.argmax(draws(7), axis=2)].sum(axis=0)
    logits = called(Vote(Noisy(), 7), keys(B), X)
    np.testing.assert_allclose(logits, votes + softmax(draws(7)).mean(axis=0), atol=1e-5)
    assert np.any(votes.max(axis=1) < 7)


def test_the_majority_wins_against_the_more_certain():
    assert np.argmax(listed([1.0, 0.0], [1.0, 0.0], [0.0, 30.0])) == 0


def test_a_tie_goes_to_the_more_certain():
    assert np.argmax(listed([1.0, 0.0], [0.0, 30.0])) == 1
    assert np.argmax(listed([30.0, 0.0], [0.0, 1.0])) == 0


def test_a_nan_draw_is_loud():
    assert np.isnan(listed([1.0, 0.0], [np.nan, 0.0])).all()


def test_gradients_are_those_of_the_mean_probability():
    weights = jnp.asarray([1.0, -2.0, 0.5])
    mean = lambda x: jnp.mean(jnp.stack([jax.nn.softmax(Noisy()(fold(keys(B), i), x)) for i in range(4)]), axis=0)  # noqa: E731
    expected = jax.jit(jax.grad(lambda x: jnp.sum(mean(x) @ weights)))(X)
    found = jax.jit(jax.grad(lambda x: jnp.sum(Vote(Noisy(), 4)(keys(B), x) @ weights)))(X)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert jnp.any(found != 0)


def test_a_row_does_not_depend_on_the_other_rows():
    order = jnp.asarray([3, 0, 5])
    some, all_rows = called(Vote(Noisy(), 5), keys(B)[order], X[order]), called(Vote(Noisy(), 5), keys(B), X)
    np.testing.assert_allclose(some, np.asarray(all_rows)[order], rtol=1e-6)


@pytest.mark.slow
def test_a_held_vote_is_the_vote_at_the_image_it_was_held_for():
    vote = Vote(Defense(recipes()["ssni_n diffpure_ddpm"], Pixels()), 3)
    vote_at, held_at = jax.jit(lambda v, k, x: v(k, x)), jax.jit(lambda v, k, x, other: v.hold(k, x)(k, other))
    np.testing.assert_allclose(held_at(vote, keys(B), X, X), vote_at(vote, keys(B), X), atol=1e-5)


def test_a_held_vote_passes_no_gradient_through_its_levels():
    vote = Vote(Defense(recipes()["ssni_n diffpure_ddpm"], Pixels()), 2)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(vote.hold(keys(B), x)(keys(B), X)[:, 0])))(X)
    assert jnp.all(slope == 0)


def test_a_vote_of_nobody_is_refused():
    with pytest.raises(ValueError, match=r"^A vote needs at least one prediction, got n=0\.$"):
        Vote(Noisy(), 0)


def test_the_trace_of_a_vote_shows_every_draw():
    trace = jax.jit(Vote(Noisy(), 5).trace)(keys(B), X)
    np.testing.assert_array_equal(trace.labels, np.argmax(draws(5), axis=2).T)
    np.testing.assert_allclose(trace.scores, np.log(softmax(draws(5)).mean(axis=0)), atol=1e-5)


def test_an_invalid_draw_has_no_label():
    vote = Vote(Listed(jnp.asarray([[1.0, 0.0], [jnp.nan, 0.0]]), keys(1)), 2)
    trace = jax.jit(vote.trace)(keys(1), X[:1])
    np.testing.assert_array_equal(trace.labels, [[0, -1]])


def test_draws_as_rows_of_one_ragged_batch_are_the_draws_one_by_one():
    vote = Vote(Defense(recipes()["ssni_n diffpure_ddpm"], Pixels()), 3)
    one_by_one, as_rows = (jax.jit(lambda v, k, x: v.trace(k, x))(v, keys(B), X) for v in (vote, vote.ragged(4)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), as_rows, one_by_one)
    measured = jax.jit(vote.measure)(keys(B), X)
    assert measured.t.shape == (B, 3, 1)
    at = jax.jit(vote.ragged(4).trace_at)(keys(B), X, measured)
    np.testing.assert_allclose(at.logits, one_by_one.logits, atol=1e-5)
