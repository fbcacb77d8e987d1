"""What a defence costs is counted as its runs count it, and compared with the right base."""

import jax
import numpy as np
import pytest

from ssni_jax.dist import make_mesh
from ssni_jax.evals.cost import Load, cost_report
from ssni_jax.purify import Constant, Defense, NoDeviation, Rounded, SsniSigmoid, Vote, predictor
from tests.evals.test_prediction import CLASSIFY
from tests.kit import images, keys, recipes


@pytest.fixture(scope="module")
def defense():
    return Defense(recipes()["ssni_n diffpure_ddpm"], CLASSIFY)


@pytest.fixture(scope="module")
def report(defense):
    return cost_report(defense, Load(make_mesh(devices=jax.devices()[:1]), keys(8), images(8), 4, 1))


def test_the_base_is_the_recipe_that_was_reweighted(defense):
    base, expected = defense.fixed().purify, recipes()["diffpure_ddpm"]
    assert isinstance(base.deviation, NoDeviation) and isinstance(base.rounds[0].level, Constant)
    found, wanted = (jax.jit(lambda purify: purify.run(keys(8), images(8)))(each) for each in (base, expected))
    np.testing.assert_array_equal(found.n_calls, wanted.n_calls)
    np.testing.assert_allclose(found.image, wanted.image, atol=1e-5)


def test_a_fixed_level_is_found_however_it_is_wrapped():
    assert Rounded(SsniSigmoid(1.0, 1.0, 0.3)).fixed().t_star == 0.3


@pytest.mark.parametrize("kind", [pytest.param("vote", marks=pytest.mark.slow), "classifier"])
def test_any_predictor_has_a_cost(defense, kind):
    predict, n_calls = {"vote": (Vote(defense.with_steps(1), 2), 2), "classifier": (predictor(CLASSIFY), 0)}[kind]
    costs = cost_report(predict, Load(make_mesh(devices=jax.devices()[:1]), keys(8), images(8), 4, 1))
    assert costs["base"]["nfe_per_image"] == n_calls and costs["defense"]["images_per_second"] > 0


@pytest.mark.slow
def test_calls_are_those_of_the_run_of_the_base_and_of_every_step(report, defense):
    done = jax.jit(lambda purify: purify.run(keys(8), images(8)))(defense.purify)
    assert report["defense"]["nfe_per_image"] == pytest.approx(float(np.mean(done.n_calls)))
    assert report["base"]["nfe_per_image"] == 4
    assert report["nfe_per_image_all_steps"] == 5 + 3


@pytest.mark.slow
def test_shares_are_of_the_sum_of_the_parts_and_work_is_counted(report):
    assert sum(report["defense"]["share"].values()) == pytest.approx(1)
    assert report["defense"]["gflop_per_image"] > 0 and report["score_norm_adds_seconds"] > 0
