"""Masked gradients are flagged, an honest defence passes, and the numbers behind the verdicts are right."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import CrossEntropy, Linf, Margin, Objective, Pgd, autoattack
from ssni_jax.core.protocols import Trace
from ssni_jax.data import Digits, take
from ssni_jax.dist import make_mesh
from ssni_jax.evals.probe import Mixed, Probe, Standardised
from ssni_jax.evals.sanity import checks, larger_eps, single_step, unbounded_eps
from ssni_jax.evals.sanity_gradients import agreement, slopes_of_pipeline, zero_gradients
from ssni_jax.evals.suspect import Attempt, Suspect, comparison, probe_of, worst
from ssni_jax.purify import Defense, predictor
from tests.configs.toy import classify
from tests.kit import keys
from tests.masked import HONEST, MASKED, DetachedPurifier, Exploding

N = 16
STEPS = 10
FLAGGED_BY = {
    "quantised input": {"finite differences", "zero gradients"},
    "exploding logits": {"zero gradients"},
    "detached purifier": {"finite differences", "zero gradients"},
    "cut guidance": {"finite differences"},
}


@functools.cache
def batch():
    rows = take(Digits("test"), range(N))
    return keys(N), jnp.asarray(rows["image"]), jnp.asarray(rows["label"])


def suspect(predict, *, n_steps=STEPS, n_queries=30, **objective):
    probe = Probe(Linf(0.15), 0.03, n_steps=n_steps)
    return Suspect(predict, Objective(**objective), probe, *batch(), make_mesh(), 4, n_queries)


def verdicts(predict):
    return {row.name: row.verdict for row in checks(suspect(predict, n_draws=2))}


@pytest.mark.slow
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_defence_fails_no_check(name):
    assert "fail" not in verdicts(HONEST[name]).values()


@pytest.mark.slow
@pytest.mark.parametrize("name", MASKED)
def test_a_masked_defence_is_flagged(name):
    failed = {check for check, verdict in verdicts(MASKED[name]).items() if verdict == "fail"}
    assert failed >= FLAGGED_BY[name]


def test_a_gradient_that_does_not_reach_the_input_is_flagged():
    detached = Defense(DetachedPurifier(HONEST["SSNI"].with_steps(1).purify), classify)
    row = slopes_of_pipeline(suspect(detached))
    assert row.verdict == "fail" and "is zero on 100 % of images" in row.sentence


@pytest.mark.slow
def test_logits_that_leave_no_gradient_are_flagged_and_others_are_not():
    assert zero_gradients(suspect(predictor(classify), n_steps=3)).verdict == "pass"
    assert zero_gradients(suspect(predictor(Exploding(classify)), n_steps=3)).verdict == "fail"


@pytest.mark.slow
def test_an_honest_classifier_passes_the_ordered_comparisons():
    plain = suspect(predictor(classify))
    assert [check(plain).verdict for check in (larger_eps, unbounded_eps, single_step)] == ["pass"] * 3


def outcome(scores):
    return Attempt(np.asarray(scores, float), 1 - np.asarray(scores, float), None, 1)


def test_a_comparison_fails_only_at_a_small_p_and_in_the_wrong_direction():
    right, wrong = outcome(np.ones(8)), outcome(np.zeros(8))
    assert comparison(right, wrong)[0] == "fail"
    assert comparison(wrong, right)[0] == "pass"
    few = outcome([1] * 5 + [0] * 3)
    assert comparison(few, wrong)[0] == "warn"
    assert comparison(wrong, wrong)[0] == "pass"
    assert worst(["pass", "fail", "warn"]) == "fail" and worst([]) == "pass"


def test_slopes_are_taken_where_they_agree_with_themselves():
    expected = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0]])
    seen = np.stack([expected * 3, expected * 1.001, expected, expected * 5])
    seen[:, :, 1] *= 2
    slopes = agreement(seen, expected)
    np.testing.assert_allclose(slopes.error, [0, 0.5, 0], atol=1e-9)
    assert list(slopes.is_flat) == [False, False, True] and slopes.floor[0] < 0.01


def test_summed_gradients_move_as_their_mean_would():
    x = 0.5 * jnp.ones((2, 2, 2, 1))
    plain = Objective(predictor(lambda x: x.reshape(len(x), -1)))
    probe = Probe(Linf(0.1), 0.03)
    y, rows = jnp.zeros(2, int), keys(2)

    def run(probe, n):
        state = probe.init(rows, plain, x, y)
        for i in range(n):
            state = probe.update(rows, i, plain, state, x, y)
        return probe.result(state).image

    often = dataclasses.replace(probe, every=3)
    np.testing.assert_array_equal(run(often, 6), run(probe, 2))
    np.testing.assert_array_equal(run(often, 2), x)


def test_the_scale_of_the_logits_has_no_effect_on_a_standardised_loss():
    scores = jnp.asarray([[1.0, 2.0, 4.0], [0.0, -1.0, 5.0]])
    zero = jnp.zeros(2)
    trace = Trace(scores, scores, zero, zero, zero, zero, zero)
    larger = trace._replace(scores=1e6 * scores)
    y = jnp.asarray([0, 2])
    np.testing.assert_allclose(Standardised()(larger, y), Standardised()(trace, y), rtol=1e-5)
    mixed = Mixed((CrossEntropy(), Margin()), (0.0, 2.0), 7.0)
    np.testing.assert_allclose(mixed(trace, y), 2 * Margin()(trace, y), rtol=1e-5)


def test_the_probe_takes_threat_and_steps_of_any_attack():
    ours = probe_of(Pgd(Linf(0.2), 0.01, 7))
    assert (ours.threat.eps, ours.step_size, ours.n_steps) == (0.2, 0.01, 7)
    assert probe_of(autoattack(Linf(0.3))).threat.eps == 0.3
    assert probe_of(None).threat.eps == Linf().eps
