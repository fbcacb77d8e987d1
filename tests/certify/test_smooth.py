"""Votes follow from seed, image, phase and draw alone, whoever counts them and in whichever batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from ssni_jax.certify import AlphaSpending, FixedDraws, certify, count_rows, draw_keys, noised
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import normal_like
from ssni_jax.data import Digits
from ssni_jax.dist import make_mesh
from ssni_jax.evals.smoothing import make_programs
from ssni_jax.evals.votes import DrawPlan, Group, collect, empty_tallies
from ssni_jax.purify import Defense
from ssni_jax.recipes import edm_one_step
from ssni_jax.zoo import Pretrained, resolve
from tests.kit import images

M, K = 8, 3
PLAN = DrawPlan(20, 130, 0.001, FixedDraws())


@pytree
class Linear:
    """Logits w x, with no randomness of its own; an image whose first pixel is above `broken` gives NaN."""

    weight: np.ndarray
    broken: float = 1e9

    def __call__(self, keys, x):
        logits = (x - 0.5).reshape(len(x), -1) @ self.weight
        return jnp.where(x[:, :1, 0, 0] > self.broken, jnp.nan, logits)


LINEAR = Linear(np.random.default_rng(3).normal(size=(12, K)).astype(np.float32))


def group(sigma=0.3, ids=range(M), n=M, seed=0):
    x = np.asarray(images(M, seed=5))[: len(ids)]
    return Group(
        jax.random.key(seed), np.asarray(ids, np.int32), x, np.arange(len(ids)) < n, sigma, np.zeros(len(ids), np.int32)
    )


def counted(predict=LINEAR, n_devices=1, batch_size=24, plan=PLAN, **options):
    programs = make_programs(make_mesh(devices=jax.devices()[:n_devices]), batch_size)
    return collect(programs, predict, group(**options), plan)


@pytest.fixture(scope="module")
def expected():
    """The votes one draw at a time, by the definition."""
    found = np.zeros((2, M, K), int)
    one = jax.jit(
        lambda ids, x, phase, draw: noised(draw_keys(jax.random.key(0), ids, phase, draw), x, jnp.full(M, 0.3))
    )
    for phase, n in enumerate((20, 130)):
        for draw in range(n):
            logits = LINEAR(None, one(jnp.arange(M), images(M, seed=5), phase, draw))
            found[phase, np.arange(M), np.argmax(logits, axis=1)] += 1
    return found


@pytest.mark.parametrize("n_devices", [1, 2, 8])
@pytest.mark.parametrize("batch_size", [56])
def test_counts_are_those_of_single_draws_on_any_devices_and_in_any_batches(expected, n_devices, batch_size):
    votes = counted(n_devices=n_devices, batch_size=batch_size)
    np.testing.assert_array_equal(votes.selection, expected[0])
    np.testing.assert_array_equal(votes.estimation, expected[1])
    assert len(np.unique(expected[1], axis=0)) > 1 and np.any(np.sort(expected[1], axis=1)[:, -2] > 0)


def test_an_image_has_the_same_votes_alone_as_among_others(expected):
    votes = collect(make_programs(make_mesh(devices=jax.devices()[:1]), 24), LINEAR, group(n=1), PLAN)
    np.testing.assert_array_equal(votes.estimation[0], expected[1, 0])
    assert votes.estimation[1:].sum() == 0 and votes.selection[1:].sum() == 0


def test_another_seed_or_phase_or_image_draws_other_noise_and_another_sigma_the_same():
    x = jnp.zeros((1, 4, 3, 1))

    @jax.jit
    def drawn(seed=0, id=0, phase=0, draw=0, sigma=1.0):
        keys = draw_keys(jax.random.key(seed), jnp.asarray([id]), phase, draw)
        return noised(keys, x, jnp.full(1, sigma)) / sigma

    others = [drawn(), drawn(seed=1), drawn(id=1), drawn(phase=1), drawn(draw=1)]
    assert len({np.asarray(noise).tobytes() for noise in others}) == 5
    np.testing.assert_allclose(drawn(sigma=0.25), drawn(), rtol=1e-6)


def test_noise_is_standard_normal_times_sigma_and_not_clipped():
    keys = draw_keys(jax.random.key(0), jnp.zeros(2000, int), 1, jnp.arange(2000))
    noise = np.asarray(noised(keys, jnp.full((2000, 4, 3, 1), 0.5), jnp.full(2000, 0.7))) - 0.5
    assert abs(noise.mean()) < 0.02 and abs(noise.std() / 0.7 - 1) < 0.02
    assert noise.min() < -0.5 and noise.max() > 0.5


def test_a_predictor_draws_apart_from_the_noise():
    """Its own randomness is not the noise that it is shown."""
    seen = {}

    @jax.jit
    def shown(draws):
        def spy(keys, x):
            seen.update(x=x, own=normal_like(keys, x))
            return x[:, :K, 0, 0]

        count_rows(spy, draws, jnp.zeros((2 * M, K + 1), int), jnp.arange(4))
        return seen

    seen = shown(group().draws(np.zeros((2, M), np.int32), np.ones((2, M), np.int32)))
    noise = (np.asarray(seen["x"]) - np.asarray(images(M, seed=5))[:4]) / 0.3
    assert np.min(np.abs(noise - np.asarray(seen["own"])).max(axis=(1, 2, 3))) > 0.1


def test_a_hundred_thousand_draws_never_hold_more_than_one_batch():
    """The largest array of the whole program is a batch of images, or all the images themselves."""
    batch_size, n = 64, np.full((2, M), 100_000, np.int32)
    programs = make_programs(make_mesh(devices=jax.devices()[:1]), batch_size)
    tallies = empty_tallies(programs.mesh, 2 * M, K + 1)
    arguments = LINEAR, group().draws(np.zeros_like(n), n), tallies, (0, n.sum() // batch_size)
    sizes = array_sizes(jax.make_jaxpr(programs.count)(*arguments).jaxpr)
    assert max(sizes) <= max(batch_size, M) * 12
    assert programs.count.lower(*arguments).compile().memory_analysis().temp_size_in_bytes < 40 * 4 * batch_size * 12


def array_sizes(jaxpr):
    """Elements of every array in a program, in loops and calls too."""
    for equation in jaxpr.eqns:
        yield from (variable.aval.size for variable in equation.outvars if hasattr(variable.aval, "size"))
        for inner in jaxprs_in_params(equation.params):
            yield from array_sizes(inner)


def test_a_nan_votes_for_nobody_and_is_counted():
    votes, clean = counted(Linear(LINEAR.weight, broken=1.5)), counted()
    assert np.any(votes.n_invalid > 0) and np.any(votes.n_invalid == 0)
    np.testing.assert_array_equal(
        votes.selection.sum(axis=1) + votes.estimation.sum(axis=1) + votes.n_invalid, 20 + votes.looks[:, -1]
    )
    whole = votes.n_invalid == 0
    np.testing.assert_array_equal(votes.estimation[whole], clean.estimation[whole])


def test_votes_of_an_early_stop_are_the_first_of_all_and_stop_one_by_one():
    plan = PLAN._replace(stopping=AlphaSpending(0.1, (40, 80)))
    votes, every = counted(plan=plan, batch_size=16, n_devices=8), counted()
    made = votes.looks.max(axis=1)
    assert len(np.unique(made)) > 1
    np.testing.assert_array_equal(votes.estimation.sum(axis=1), made)
    np.testing.assert_array_equal(votes.estimation[made == 130], every.estimation[made == 130])
    assert np.all(votes.estimation <= every.estimation)
    np.testing.assert_array_equal(votes.selection, every.selection)


def test_a_linear_classifiers_certified_radius_never_exceeds_its_true_distance():
    """Two classes: w x has the distance |w x| / |w| to its boundary, which smoothing leaves where it is."""
    weight = LINEAR.weight[:, :1] * np.asarray([[1, -1]], np.float32)
    for seed in range(4):
        votes = counted(
            Linear(weight), plan=DrawPlan(50, 2000, 0.001, FixedDraws()), batch_size=2048, n_devices=8, seed=seed
        )
        done = certify(votes.selection, votes.estimation, sigma=0.3)
        logits = (np.asarray(images(M, seed=5)) - 0.5).reshape(M, -1) @ weight
        distance = np.abs(logits[:, 0] - logits[:, 1]) / np.linalg.norm(weight[:, 0] - weight[:, 1])
        certified = done.label >= 0
        assert certified.sum() >= 4
        assert np.all(done.label[certified] == np.argmax(logits, axis=1)[certified])
        assert np.all(done.radius <= distance)


def test_a_batch_that_does_not_divide_over_the_devices_is_refused():
    with pytest.raises(ValueError, match="batch_size=20 does not divide over 8 devices"):
        make_programs(make_mesh(), 20)


@pytest.mark.slow
def test_the_bundled_digits_count_the_same_on_one_and_on_eight_devices():
    defense = Defense(edm_one_step(Pretrained("digits-score")), Pretrained("digits-classifier"))
    predict, source = resolve(defense.at_noise(0.5)), Digits("test")
    ids = np.arange(8, dtype=np.int32)
    digits = Group(jax.random.key(0), ids, source.images[:8], np.ones(8, bool), 0.5, np.zeros(8, np.int32))
    plan = DrawPlan(4, 12, 0.4, FixedDraws())
    one, eight = (
        collect(make_programs(make_mesh(devices=jax.devices()[:n]), batch), predict, digits, plan)
        for n, batch in ((1, 32), (8, 64))
    )
    jax.tree.map(np.testing.assert_array_equal, one, eight)
    assert np.mean(np.argmax(one.estimation, axis=1) == source.labels[:8]) > 0.5
