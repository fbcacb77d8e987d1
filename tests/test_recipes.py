import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.describe import describe
from ssni_jax.purify import Constant, NoDeviation, Purifier, Round, Rounded, ScoreNorm, SsniLinear, SsniSigmoid
from ssni_jax.recipes import (
    diffpure_ddim,
    diffpure_ddpm,
    diffpure_ode,
    diffpure_sde,
    soft,
    ssni,
    ssni_l,
    ssni_n,
    unpurified,
)
from ssni_jax.schedules import VP, DiscreteVP, Strided
from ssni_jax.solvers import Ancestral, Euler, EulerMaruyama
from tests.kit import N_LEVELS, bases, calibration, images, keys, over_l, over_n, recipes, two_modes

DENOISE = two_modes()
SSNI = {name: recipe for name, recipe in recipes().items() if name.startswith("ssni")}


def test_without_rounds_the_image_comes_back_unchanged():
    done = unpurified(DENOISE).run(keys(3), images(3))
    np.testing.assert_allclose(done.image, images(3), atol=1e-7)
    assert done.t.shape == (0, 3) and np.all(done.n_calls == 0)


@pytest.mark.parametrize(
    ("recipe", "step"),
    [
        (diffpure_sde, EulerMaruyama()),
        (diffpure_ode, Euler()),
        (diffpure_ddpm, Ancestral()),
        (diffpure_ddim, Ancestral(eta=0.0)),
    ],
)
def test_diffpure_is_one_round_at_a_fixed_level_in_equal_steps(recipe, step):
    expected = Round(Constant(0.075), Strided(20, 0.075), step)
    made = recipe(DENOISE, t_star=0.075, n_steps=20, schedule=DiscreteVP())
    assert describe(made) == describe(Purifier(DENOISE, DiscreteVP(), (expected,), NoDeviation()))


def test_by_default_diffpure_takes_a_hundred_steps_from_a_tenth():
    (only,) = diffpure_ddpm(DENOISE).rounds
    assert (only.level.t_star, only.grid.n_steps, only.grid.t_max) == (0.1, 100, 0.1)


def test_ssni_n_takes_the_mean_of_the_calibration_and_its_number_of_levels():
    made = ssni_n(bases()["diffpure_ddpm"], calibration(), tau=3.0, bias=0.01)
    expected = Rounded(SsniSigmoid(calibration().mean, 3.0, 0.1, 0.01))
    assert describe(made.rounds[0].level) == describe(expected)
    assert describe(made.deviation) == describe(ScoreNorm(DENOISE, VP(), N_LEVELS))


def test_ssni_l_takes_the_range_of_the_calibration():
    made = ssni_l(bases()["diffpure_ddpm"], calibration(), bias=0.01)
    expected = Rounded(SsniLinear(calibration().low, calibration().high, 0.1, 0.01))
    assert describe(made.rounds[0].level) == describe(expected)


@pytest.mark.parametrize("name", list(SSNI))
def test_ssni_replaces_every_rounds_level_and_nothing_else(name):
    base = bases()[name.split(" ")[1]]
    for made, fixed in zip(SSNI[name].rounds, base.rounds, strict=True):
        assert isinstance(made.level, Rounded) and made.level.level.t_star == fixed.level.t_star
        assert describe(made.step) == describe(fixed.step) and made.repeats == fixed.repeats
        assert type(made.grid) is type(fixed.grid)


@pytest.mark.parametrize("name", ["ssni_n diffpure_ddpm", "ssni_n rounds", "ssni_l rounds"])
def test_strided_grids_reach_the_largest_level_in_steps_of_their_stride(name):
    """A grid that ended at t_star would make up for the bias in one long step."""
    for made, fixed in zip(SSNI[name].rounds, bases()[name.split(" ")[1]].rounds, strict=True):
        t_max = fixed.level.t_star + made.level.level.bias
        steps = -np.diff(made.grid(jnp.asarray([t_max], jnp.float32))[:, 0])
        assert steps.sum() == pytest.approx(t_max) and steps.max() <= fixed.level.t_star / fixed.grid.n_steps + 1e-7


@pytest.mark.parametrize(
    ("n_steps", "t_star", "bias", "reached"), [(100, 0.1, 0.005, 105), (4, 0.1, 0.005, 5), (100, 0.1, 0.0, 100)]
)
def test_a_longer_grid_keeps_its_stride(n_steps, t_star, bias, reached):
    base = diffpure_ddpm(DENOISE, t_star=t_star, n_steps=n_steps)
    grid = ssni_n(base, calibration(), tau=3.0, bias=bias).rounds[0].grid
    assert grid.n_steps == reached and grid.t_max / grid.n_steps == pytest.approx(t_star / n_steps)
    assert grid.t_max >= t_star + bias - 1e-9


def test_another_networks_calibration_is_refused_in_one_sentence():
    other = dataclasses.replace(DENOISE, mode=DENOISE.mode + 1)
    with pytest.raises(ValueError, match=r"^This calibration belongs to network \w{12}, not to \w{12}: run .*\.$"):
        ssni_n(diffpure_ddpm(other), calibration(), tau=3.0)
    with pytest.raises(ValueError, match="belongs to network"):
        ssni_l(diffpure_ddpm(other), calibration())


@pytest.mark.parametrize("tau", [0.0, -20.0])
def test_a_temperature_that_is_not_positive_is_refused(tau):
    with pytest.raises(ValueError, match=rf"^tau={tau} .* choose a positive score norm\.$"):
        ssni_n(diffpure_ddpm(DENOISE), calibration(), tau=tau)


@pytest.mark.parametrize("wrap", [over_n, over_l])
def test_ssni_over_ssni_is_refused(wrap):
    with pytest.raises(ValueError, match=r"^SSNI reweights a fixed noise level, and this round's is Rounded: .*\.$"):
        wrap(over_n(bases()["diffpure_ddpm"]))


def test_any_reweighting_may_be_given():
    made = ssni(bases()["rounds"], calibration(), lambda t_star: Constant(t_star / 2), bias=0.0)
    assert [each.level.t_star for each in made.rounds] == [0.025, 0.05]


@pytest.mark.parametrize("name", list(SSNI))
def test_softening_takes_away_the_rounding_and_nothing_else(name):
    softened = soft(SSNI[name])
    assert not any(isinstance(each.level, Rounded) for each in softened.rounds)
    rounded = [dataclasses.replace(each, level=Rounded(each.level)) for each in softened.rounds]
    assert describe(dataclasses.replace(softened, rounds=tuple(rounded))) == describe(SSNI[name])


def test_softening_a_fixed_level_changes_nothing():
    assert describe(soft(bases()["rounds"])) == describe(bases()["rounds"])


def test_rounded_and_soft_levels_differ_by_less_than_half_a_step():
    rounded, softened = (
        jax.jit(lambda k, x, p=p: p.times(p.measure(k, x)))(keys(64), images(64))
        for p in (SSNI["ssni_n rounds"], soft(SSNI["ssni_n rounds"]))
    )
    assert 0 < np.max(np.abs(rounded - softened)) <= 0.0005 + 1e-7
