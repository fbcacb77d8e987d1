"""Laws of APGD, FAB and Square in every norm, on classifiers whose nearest adversarial image is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import (
    L1,
    L2,
    Apgd,
    ApgdL1,
    CrossEntropy,
    Dlr,
    Fab,
    Linf,
    Margin,
    Objective,
    Square,
    Targeted,
    TargetedDlr,
    TargetedMargin,
    WithLoss,
)
from ssni_jax.attacks.apgd import checkpoints
from ssni_jax.attacks.targeted import ranked_class
from tests.attacks.kit import NanInTheDark, NoisyLinear, driven
from tests.kit import images, keys, with_leaves

B, SHAPE = 12, (6, 6, 1)
X = 0.35 + 0.3 * images(B, shape=SHAPE)
ORDER = {Linf: np.inf, L2: 2, L1: 1}
DUAL = {Linf: 1, L2: 2, L1: np.inf}
WEIGHTS = np.random.default_rng(3).normal(size=(*SHAPE, 4)).astype(np.float32)


FOUR = NoisyLinear(jnp.asarray(WEIGHTS), origin=0.5)
Y = np.argmax(np.einsum("bhwc,hwck->bk", np.asarray(X) - 0.5, WEIGHTS), axis=1).astype(np.int32)


def distances(threat):
    """From each image to its nearest decision boundary: the margin over the dual norm of its gradient."""
    logits = np.einsum("bhwc,hwck->bk", np.asarray(X) - 0.5, WEIGHTS)
    gaps = np.stack([logits[np.arange(B), Y] - logits[:, k] for k in range(4)], axis=1)
    normals = [[WEIGHTS[..., y] - WEIGHTS[..., k] for k in range(4)] for y in Y]
    slopes = np.array([[np.linalg.norm(n.ravel(), DUAL[type(threat)]) for n in row] for row in normals])
    return np.where(gaps == 0, np.inf, gaps / np.where(slopes == 0, 1, slopes)).min(axis=1)


def radius(kind):
    """A radius within which about half of the images can be misclassified."""
    return kind(float(np.median(distances(kind(1.0)))) * 1.001)


def attacks():
    """Every attack in every norm."""
    made = {}
    for kind in (Linf, L2, L1):
        threat = radius(kind)
        apgd = (lambda threat: ApgdL1(threat, n_steps=25)) if kind is L1 else (lambda threat: Apgd(threat, n_steps=20))
        made |= {f"apgd {kind.__name__}": apgd(threat), f"square {kind.__name__}": Square(threat, n_queries=300)}
        made[f"fab {kind.__name__}"] = Fab(threat, n_steps=12, all_classes=True)
    made["apgd outside L1"] = ApgdL1(radius(L1), n_steps=30, from_outside=True)
    made["apgd restarts Linf"] = Apgd(radius(Linf), n_steps=8, n_restarts=2)
    return made


ALL = attacks()
MORE = (
    "square L1",
    "square L2",
    "fab L1",
    "fab Linf",
    "apgd L1",
    "apgd L2",
    "apgd restarts Linf",
)  # their parts are in the others


def marked(names):
    return [pytest.param(name, marks=pytest.mark.slow) if name in MORE else name for name in names]


EXACT = [name for name in ALL if not name.startswith("square")]  # Square has no gradient: a bound is all it gives


def size(threat, change):
    return np.linalg.norm(np.asarray(change, np.float64).reshape(len(change), -1), ORDER[type(threat)], axis=1)


def run(name, predict=FOUR, order=slice(None)):
    objective = dataclasses.replace(Objective(loss=Margin()), predict=predict)
    return driven(ALL[name], objective, keys(B)[order], X[order], jnp.asarray(Y)[order])


@pytest.mark.parametrize("name", marked(ALL))
def test_an_attack_stays_inside_and_says_rightly_which_images_it_broke(name):
    result, threat = run(name), ALL[name].threat
    assert np.all(size(threat, result.image - X) <= threat.eps * (1 + 1e-5))
    assert np.min(result.image) >= 0 and np.max(result.image) <= 1
    logits = jax.jit(FOUR)(keys(B), result.image)
    np.testing.assert_array_equal(np.argmax(logits, axis=1) != Y, np.asarray(result.broken) > 0.5)


@pytest.mark.parametrize("name", marked(EXACT))
def test_on_a_linear_classifier_the_images_broken_are_those_within_reach(name):
    """In the L1 ball few pixels carry the change, and [0, 1] leaves them less room than the distance assumes."""
    threat = ALL[name].threat
    reach = distances(threat) / threat.eps
    broken = np.asarray(run(name).broken) > 0.5
    assert np.all(broken[reach < (0.75 if isinstance(threat, L1) else 0.97)]) and not np.any(broken[reach > 1.001])


@pytest.mark.parametrize("name", marked(name for name in ALL if name not in EXACT))
def test_square_breaks_most_images_well_within_reach(name):
    reach = distances(ALL[name].threat) / ALL[name].threat.eps
    broken = np.asarray(run(name).broken) > 0.5
    assert np.mean(broken[reach < 0.6]) > 0.6 and not np.any(broken[reach > 1.001])


@pytest.mark.parametrize("kind", [Linf, L2, L1])
def test_fab_finds_the_smallest_change_of_a_linear_classifier(kind):
    attack = Fab(kind(1.0 if kind is Linf else 1e3), n_steps=12, all_classes=True)
    result = driven(attack, Objective(FOUR), keys(B), X, jnp.asarray(Y))
    np.testing.assert_allclose(size(attack.threat, result.image - X), distances(kind(1.0)), rtol=0.06)


@pytest.mark.parametrize("name", ["apgd Linf", "apgd outside L1", "square Linf", "fab L2"])
def test_a_row_is_attacked_alike_in_any_order(name):
    order = np.random.default_rng(0).permutation(B)
    reverse, whole = run(name, order=order), run(name)
    np.testing.assert_allclose(reverse.image, np.asarray(whole.image)[order], atol=1e-5)
    np.testing.assert_array_equal(reverse.n_queries, np.asarray(whole.n_queries)[order])


@pytest.mark.slow
def test_a_nan_is_no_success():
    dark = NanInTheDark(FOUR)
    x = X.at[3].set(0.0)
    for name in ("apgd Linf", "square Linf", "fab Linf"):
        result = driven(ALL[name], Objective(dark, Margin()), keys(B), x, jnp.asarray(Y))
        judged = np.asarray(jax.jit(dark)(keys(B), result.image))
        assert not np.any(np.isnan(judged[np.asarray(result.broken) > 0.5]))


def test_three_radii_are_one_trace():
    traces = []

    @jax.jit
    def traced(attack):
        traces.append(1)
        return driven(attack, Objective(FOUR), keys(B), X, jnp.asarray(Y)).image

    sizes = [size(Linf(), traced(with_leaves(ALL["apgd Linf"], eps=lambda eps, k=k: k * eps)) - X) for k in (0.5, 1, 2)]
    assert len(traces) == 1 and sizes[0].max() < sizes[1].max() < sizes[2].max()


def test_the_checkpoints_of_a_hundred_steps_are_the_published_ones():
    assert np.flatnonzero(checkpoints(100)).tolist() == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(100)[[22, 41, 57, 99]].tolist() == [22, 19, 16, 6]


@pytest.mark.slow
def test_a_random_predictor_keeps_the_iterate_with_most_wrong_draws():
    noisy = dataclasses.replace(FOUR, noise=0.2)
    result = driven(ALL["apgd Linf"], Objective(noisy, n_draws=8), keys(B), X, jnp.asarray(Y))
    start = Objective(noisy, n_draws=8).evaluate(keys(B, seed=5), X, jnp.asarray(Y)).mean()[1]
    assert np.mean(result.broken) > np.mean(start) and np.all(np.asarray(result.n_queries) == 21 * 8)


@pytest.mark.slow
def test_by_released_bookkeeping_one_lucky_draw_is_a_success():
    noisy = dataclasses.replace(FOUR, noise=0.1)
    objectives = [Objective(noisy, n_draws=8, bookkeeping=bookkeeping) for bookkeeping in ("mean", "last")]
    attack = Apgd(Linf(0.05 * radius(Linf).eps), n_steps=20)
    mean, last = (np.asarray(driven(attack, objective, keys(B), X, jnp.asarray(Y)).broken) for objective in objectives)
    assert np.all(np.isin(last, (0, 1))) and np.any((mean > 0) & (mean < 1))
    assert np.all(last >= mean) and np.sum(last > 0.5) > np.sum(mean > 0.5)


def test_targets_are_ranked_by_the_score_on_the_clean_image_without_the_true_class():
    scores = jnp.asarray([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 3.0, 2.0]])
    ranked = [ranked_class(scores, jnp.asarray([0, 1]), rank).tolist() for rank in (1, 2, 3, 4)]
    assert ranked == [[1, 2], [2, 3], [3, 0], [1, 2]]


@pytest.mark.parametrize("loss", [TargetedDlr(), TargetedMargin()], ids=["dlr", "margin"])
def test_a_targeted_attack_makes_its_target_likelier_than_the_truth(loss):
    attack = Targeted(Apgd(Linf(0.4), n_steps=20), 2, loss)
    result = driven(attack, Objective(FOUR), keys(B), X, jnp.asarray(Y))
    scores = jax.jit(FOUR)(keys(B), X)
    target = ranked_class(scores, jnp.asarray(Y), 2)
    before, after = (np.asarray(logits) for logits in (scores, jax.jit(FOUR)(keys(B), result.image)))
    rows = np.arange(B)
    assert np.all(before[rows, target] < before[rows, Y]) and np.mean(after[rows, target] > after[rows, Y]) > 0.8


def test_ranks_and_losses_are_data_of_one_program():
    traces = []

    @jax.jit
    def traced(attack):
        traces.append(1)
        return attack.init(keys(B), Objective(FOUR), X, jnp.asarray(Y)).target

    first, second = (traced(Targeted(Apgd(Linf(0.1)), rank)) for rank in (1, 2))
    assert len(traces) == 1 and np.any(np.asarray(first) != np.asarray(second))


def test_a_targeted_loss_without_a_target_and_too_few_classes_are_refused():
    with pytest.raises(ValueError, match="needs a target class per row: wrap the attack in `Targeted`"):
        driven(ALL["apgd Linf"], Objective(FOUR, TargetedDlr()), keys(B), X, jnp.asarray(Y))
    two = NoisyLinear(FOUR.weights[..., :2])
    with pytest.raises(ValueError, match="needs at least 3 classes, got 2: use CrossEntropy or Margin"):
        driven(ALL["apgd Linf"], Objective(two, Dlr()), keys(B), X, jnp.asarray(Y) % 2)


@pytest.mark.slow
def test_an_attack_with_its_own_loss_ignores_the_objectives():
    own = WithLoss(ALL["apgd Linf"], Margin(), n_draws=2)
    result = driven(own, Objective(FOUR, CrossEntropy()), keys(B), X, jnp.asarray(Y))
    plain = driven(ALL["apgd Linf"], Objective(FOUR, Margin(), n_draws=2), keys(B), X, jnp.asarray(Y))
    np.testing.assert_array_equal(result.image, plain.image)
    assert np.all(np.asarray(result.n_queries) == 42)


@pytest.mark.parametrize("attack", [Apgd, ApgdL1, Fab], ids=lambda kind: kind.__name__)
def test_no_steps_are_refused(attack):
    with pytest.raises(ValueError, match="needs at least one step, got n_steps=0"):
        attack(n_steps=0)
