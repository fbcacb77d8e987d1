"""What a defence costs is counted as its runs count it, and compared with the right base."""

import jax
import numpy as np
import pytest

from ssni_jax.dist import make_mesh
from ssni_jax.evals.cost import Load, cost_report, fixed, t_star
from ssni_jax.purify import Constant, Defense, NoDeviation, Rounded, SsniSigmoid
from tests.kit import images, keys, recipes
from tests.runs.test_gradient_check import CLASSIFY


@pytest.fixture(scope="module")
def defense():
    return Defense(recipes()["ssni_n diffpure_ddpm"], CLASSIFY)


@pytest.fixture(scope="module")
def report(defense):
    return cost_report(defense, Load(make_mesh(devices=jax.devices()[:1]), keys(8), images(8), 4, 1))


def test_the_base_is_the_recipe_that_was_reweighted(defense):
    base, expected = fixed(defense).purify, recipes()["diffpure_ddpm"]
    assert isinstance(base.deviation, NoDeviation) and isinstance(base.rounds[0].level, Constant)
    found, wanted = (jax.jit(lambda purify: purify.run(keys(8), images(8)))(each) for each in (base, expected))
    np.testing.assert_array_equal(found.n_calls, wanted.n_calls)
    np.testing.assert_allclose(found.image, wanted.image, atol=1e-5)


def test_a_level_without_a_fixed_one_is_named():
    assert t_star(Rounded(SsniSigmoid(1.0, 1.0, 0.3))) == 0.3
    with pytest.raises(ValueError, match="object has no t_star"):
        t_star(object())


def test_calls_are_those_of_the_run_of_the_base_and_of_every_step(report, defense):
    done = jax.jit(lambda purify: purify.run(keys(8), images(8)))(defense.purify)
    assert report["defense"]["nfe_per_image"] == pytest.approx(float(np.mean(done.n_calls)))
    assert report["base"]["nfe_per_image"] == 4
    assert report["nfe_per_image_all_steps"] == 5 + 3


def test_shares_are_of_the_sum_of_the_parts_and_work_is_counted(report):
    assert sum(report["defense"]["share"].values()) == pytest.approx(1)
    assert report["defense"]["gflop_per_image"] > 0 and report["score_norm_adds_seconds"] > 0
