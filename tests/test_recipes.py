import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.describe import describe
from ssni_jax.presets import SETTINGS, setting, setting_purifier
from ssni_jax.purify import (
    Amplified,
    Calibration,
    Constant,
    Defense,
    LowFrequencies,
    ManiNoise,
    NoDeviation,
    Purifier,
    Round,
    Rounded,
    ScoreNorm,
    SingleScoreNorm,
    SsniLinear,
    SsniSigmoid,
    SsniStep,
    Unguided,
    Vote,
)
from ssni_jax.recipes import (
    consistency,
    dds,
    densepure,
    diffpure_ddim,
    diffpure_ddpm,
    diffpure_ode,
    diffpure_sde,
    divide_and_conquer,
    edm_one_step,
    freqpure,
    from_noise,
    gdmp,
    gdmp_imagenet,
    gns,
    mani_pure,
    one_step,
    pf_ode,
    ringed,
    ssni,
    ssni_l,
    ssni_monotone,
    ssni_n,
    ssni_step,
    step_at_least,
    unpurified,
)
from ssni_jax.recipes.gns import IMAGENET, SVHN
from ssni_jax.recipes.ssni import in_vp_time
from ssni_jax.schedules import VE, VP, CosineVP, DiscreteVP, Karras, Strided, Uniform
from ssni_jax.solvers import Ancestral, Churned, Euler, EulerMaruyama, Ringed
from tests.kit import (
    N_LEVELS,
    Bright,
    Gaussian,
    bases,
    calibration,
    called,
    images,
    keys,
    over_l,
    over_n,
    recipes,
    reconstruction_norms,
    run,
    two_modes,
)

DENOISE = two_modes()
SSNI = {name: recipe for name, recipe in recipes().items() if name.startswith("ssni")}


def TIME(grid, t):
    """The times of a grid from t on: a schedule whose noise is the time shows them."""
    return np.asarray(called(grid, VE(), jnp.asarray([t], jnp.float32)))[:, 0]


def test_without_rounds_the_image_comes_back_unchanged():
    done = run(unpurified(DENOISE), keys(3), images(3))
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
    purifier = recipe(DENOISE, t_star=0.075, n_steps=20, schedule=DiscreteVP())
    assert describe(purifier) == describe(Purifier(DENOISE, DiscreteVP(), (expected,), NoDeviation()))


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
    base = in_vp_time(bases()[name.split(" ")[1]])
    for made, fixed in zip(SSNI[name].rounds, base.rounds, strict=True):
        assert isinstance(made.level, Rounded) and made.level.level.t_star == fixed.level.t_star
        assert type(made.grid) is type(fixed.grid) and made.repeats == fixed.repeats
        for value in ("step", "guide", "reference"):
            assert describe(getattr(made, value)) == describe(getattr(fixed, value))


@pytest.mark.parametrize("name", ["ssni_n diffpure_ddpm", "ssni_n rounds", "ssni_l rounds"])
def test_strided_grids_reach_the_largest_level_in_steps_of_their_stride(name):
    """A grid that ended at t_star would make up for the bias in one long step."""
    for made, fixed in zip(SSNI[name].rounds, bases()[name.split(" ")[1]].rounds, strict=True):
        t_max = fixed.level.t_star + made.level.level.bias
        steps = -np.diff(TIME(made.grid, t_max))
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
    with pytest.raises(ValueError, match=rf"^tau must be a positive score norm, got {tau}: "):
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
    softened = SSNI[name].soft()
    assert not any(isinstance(each.level, Rounded) for each in softened.rounds)
    n = SSNI[name].rounds[0].level.n if SSNI[name].rounds else 1000
    rounded = [dataclasses.replace(each, level=Rounded(each.level, n)) for each in softened.rounds]
    assert describe(dataclasses.replace(softened, rounds=tuple(rounded))) == describe(SSNI[name])


def test_softening_a_fixed_level_changes_nothing():
    assert describe(bases()["rounds"].soft()) == describe(bases()["rounds"])


def test_rounded_and_soft_levels_differ_by_less_than_half_a_step():
    rounded, softened = (
        jax.jit(lambda k, x, p=p: p.times(p.measure(k, x)))(keys(64), images(64))
        for p in (SSNI["ssni_n rounds"], SSNI["ssni_n rounds"].soft())
    )
    assert 0 < np.max(np.abs(rounded - softened)) <= 0.0005 + 1e-7


def walked(purifier):
    """Per round: repeats, t, and the number of steps, all of one length but for rounding."""
    found = []
    for each in purifier.rounds:
        steps = -np.diff(TIME(each.grid, each.level.t_star))
        np.testing.assert_allclose(steps, steps.mean(), rtol=1e-3)
        found.append((each.repeats, each.level.t_star, len(steps)))
    return found


def test_gdmp_is_four_rounds_of_thirty_six_ddpm_steps():
    assert walked(gdmp(DENOISE)) == [(4, 0.036, 36)]
    assert walked(gdmp_imagenet(DENOISE)) == [(1, 45 / 250, 45)]


@pytest.mark.parametrize(("rounds", "last"), [((), 125), (IMAGENET, 200), (SVHN, 80)])
def test_gns_noises_little_four_times_more_twice_and_most_twice_in_single_steps(rounds, last):
    made = gns(DENOISE, rounds=rounds) if rounds else gns(DENOISE)
    assert walked(made) == [(4, 0.03, 30), (2, 0.05, 50), (2, last / 1000, last)]


def test_a_stride_makes_gns_cheaper_at_the_same_noise():
    assert walked(gns(DENOISE, stride=5)) == [(4, 0.03, 6), (2, 0.05, 10), (2, 0.125, 25)]


@pytest.mark.parametrize("made", [dds, densepure, edm_one_step, consistency, pf_ode], ids=lambda f: f.__name__)
@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0])
def test_a_given_noise_of_images_is_twice_that_of_the_state(made, sigma):
    purifier = made(DENOISE, sigma=sigma)
    found = purifier.schedule.sigma(jnp.asarray(purifier.rounds[0].level.t_star))
    np.testing.assert_allclose(found, 2 * sigma, rtol=1e-4)


@pytest.mark.parametrize("sigma", [0.0, -1.0])
def test_smoothing_without_noise_is_refused(sigma):
    with pytest.raises(ValueError, match=rf"must be positive, got sigma={sigma}: "):
        dds(DENOISE, sigma=sigma)


@pytest.mark.parametrize(
    ("schedule", "indices"),
    [(CosineVP(), (1158, 1984, 2809)), (DiscreteVP(), (145, 259, 396))],
    ids=["cosine", "linear"],
)
def test_the_first_step_with_at_least_the_given_noise_is_the_papers(schedule, indices):
    """Index i has the noise after i + 1 steps."""
    steps = [round(step_at_least(schedule, sigma) * schedule.n) for sigma in (0.25, 0.5, 1.0)]
    assert tuple(step - 1 for step in steps) == indices


def test_the_ode_walks_the_levels_of_edm_below_its_start():
    """From a level of the 18 the others follow; the last step, to zero, is the Euler one."""
    levels = (80 ** (1 / 7) + np.arange(18) / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    for n_steps, first in [(7, 11), (8, 10), (9, 9)]:
        (only,) = pf_ode(DENOISE, sigma=levels[first] / 2, n_steps=n_steps).rounds
        np.testing.assert_allclose(TIME(only.grid, only.level.t_star), [*levels[first:], 0.0], rtol=1e-3)


def test_consistency_steps_end_at_equal_parts_of_the_noise():
    (only,) = consistency(DENOISE, sigma=0.4, n_steps=4).rounds
    np.testing.assert_allclose(TIME(only.grid, 0.8), [0.8, 0.6, 0.4, 0.2, 0.0], rtol=1e-5)


def test_one_step_of_any_network_is_its_estimate_of_the_noised_image():
    done = run(one_step(DENOISE, t_star=0.2), keys(3), images(3))
    expected = called(DENOISE, 2 * done.noised - 1, jnp.full(3, VP().sigma(jnp.asarray(0.2))))
    np.testing.assert_allclose(2 * done.image - 1, expected, atol=1e-6)


def test_from_noise_starts_where_nothing_is_left_of_the_image():
    purifier = from_noise(DENOISE, Unguided(), n_steps=2)
    images_of_both = [run(purifier, keys(4), images(4, seed=seed)).image for seed in (0, 1)]
    np.testing.assert_allclose(*images_of_both, atol=0.02)


def test_freqpure_leans_towards_an_estimate_and_the_mask_splits_two_noises():
    assert [each.reference.n_calls for each in freqpure(DENOISE).rounds] == [1, 1]
    (only,) = divide_and_conquer(DENOISE, Bright()).rounds
    assert only.guide.sigma_outside == pytest.approx(float(DiscreteVP().sigma(jnp.asarray(0.1))))


def test_mani_pure_is_diffpure_with_the_papers_noise_and_freqpures_guide():
    made, base = mani_pure(DENOISE), diffpure_ddpm(DENOISE)
    (only,) = made.rounds
    assert describe(only.noise) == describe(ManiNoise("edges", bands=8, gamma=1.8))
    assert describe(only.guide) == describe(LowFrequencies(3.0, 3.0, 0.3))
    plain = dataclasses.replace(only, noise=base.rounds[0].noise, guide=Unguided())
    assert describe(dataclasses.replace(made, rounds=(plain,))) == describe(base)


def test_the_ringed_purifier_is_diffpures_ode_with_three_parts_around_it():
    (only,), (base,) = ringed(DENOISE, n_steps=100).rounds, diffpure_ode(DENOISE).rounds
    assert describe(only.step) == describe(Ringed(Churned(Euler(), 0.1), 0.1, float(VP().sigma(jnp.asarray(0.05)))))
    assert describe(only.noise) == describe(Amplified(1.2))
    assert describe(dataclasses.replace(only, step=base.step, noise=base.noise)) == describe(base)


def test_a_step_purifies_the_images_above_a_share_of_the_reference_norms():
    made = ssni_step(bases()["rounds"], calibration(), share=0.75, bias=0.01)
    expected = SsniStep(calibration().quantile(0.75), calibration().std, 0.05, 0.01)
    assert describe(made.rounds[0].level) == describe(Rounded(expected))
    t = np.asarray(made.times(jnp.asarray(calibration().norms))[0])
    np.testing.assert_allclose(np.unique(t), [0.0, 0.06], atol=1e-6)
    assert np.mean(t > 0) == 0.25
    with pytest.raises(ValueError, match=r"^share must lie between 0 and 1, got 95.0: choose for example 0.95\.$"):
        ssni_step(bases()["rounds"], calibration(), share=95.0)


def test_a_learned_level_goes_from_clean_norms_to_adversarial_ones_and_checks_both():
    clean, adversarial = reconstruction_norms()
    times = SSNI["ssni_monotone rounds"].times(jnp.asarray([clean.low - 1, adversarial.high + 1]))[0]
    np.testing.assert_allclose(times, [0.005, 0.055], atol=1e-6)
    deviation = SSNI["ssni_monotone rounds"].deviation
    with pytest.raises(ValueError, match=r"measured with ScoreNorm\(n_levels=3"):
        ssni_monotone(bases()["rounds"], clean, calibration(), deviation=deviation)


@pytest.mark.parametrize("base", [edm_one_step, consistency, pf_ode], ids=lambda f: f.__name__)
def test_on_the_vp_schedule_a_variance_exploding_purifier_is_the_same(base):
    purifier = base(DENOISE, sigma=0.3)
    found, expected = (
        jax.jit(lambda p, k, x: p(k, x))(p, keys(8), images(8)) for p in (in_vp_time(purifier), purifier)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_ssni_gives_a_typical_image_half_the_vp_time_of_a_one_step_consistency_model():
    """Its t is VP time, where the paper's bias and steps mean something; without that it would be half the noise."""
    made = ssni_n(consistency(DENOISE, sigma=0.25), calibration(), tau=3.0, bias=0.005)
    t_star = float(VP().inverse(jnp.asarray(0.5)))
    t = jax.jit(made.times)(jnp.asarray([calibration().mean, 1e6]))[0]
    np.testing.assert_allclose(t, [(t_star + 0.005) / 2, t_star + 0.005], atol=6e-4)
    assert type(made.schedule) is VP


def test_t_is_rounded_to_the_steps_of_the_bases_schedule():
    assert ssni_n(dds(DENOISE), calibration(), tau=3.0).rounds[0].level.n == 4000
    assert ssni_l(gns(DENOISE), calibration()).rounds[0].level.n == 1000
    assert ssni_n(gdmp_imagenet(DENOISE), calibration(), tau=3.0).rounds[0].level.n == 250


def test_a_grid_in_the_time_of_a_variance_exploding_schedule_is_refused_by_ssni():
    base = Purifier(DENOISE, VE(), (Round(Constant(0.5), Uniform(3), Euler()),))
    with pytest.raises(ValueError, match=r"^Uniform divides the variance-exploding schedule's own time, .*\.$"):
        over_n(base)
    assert isinstance(over_n(dataclasses.replace(base, rounds=pf_ode(DENOISE).rounds)).rounds[0].grid, Karras)


def test_one_norm_of_the_input_reweights_every_round():
    done = run(SSNI["ssni_n rounds"], keys(4), images(4))
    for t, each in zip(done.t, SSNI["ssni_n rounds"].rounds, strict=True):
        np.testing.assert_allclose(t, called(each.level, done.deviation))


@pytest.mark.parametrize("wrap", [ssni_l, lambda *args, **options: ssni_n(*args, tau=3.0, **options)])
def test_ssni_takes_another_deviation_and_checks_the_network_that_measures(wrap):
    deviation = SingleScoreNorm(DENOISE, VP())
    measured = Calibration.measured(deviation, calibration().norms, data="kit", images="uniform pixels")
    assert wrap(gdmp(Gaussian()), measured, deviation=deviation).deviation is deviation
    with pytest.raises(ValueError, match="belongs to network"):
        wrap(gdmp(DENOISE), measured, deviation=SingleScoreNorm(Gaussian(), VP()))
    with pytest.raises(ValueError, match=r"measured with ScoreNorm\(n_levels=3.*, not with SingleScoreNorm\(t=0.02\)"):
        wrap(gdmp(DENOISE), calibration(), deviation=deviation)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_papers_setting_takes_any_networks(name):
    made = setting(name, DENOISE, Gaussian())
    defense = made.predict if isinstance(made, Vote) else made
    assert isinstance(defense, Defense) and describe(defense.purify) == describe(setting_purifier(name, DENOISE))


def test_karras_levels_on_a_vp_purifier_are_those_of_its_own_noise():
    """The schedule is named once, by the purifier: a grid cannot walk another one's levels."""
    (only,) = bases()["heun_karras"].rounds
    levels = np.asarray(called(only.grid, VP(), jnp.asarray([0.1], jnp.float32)))[:, 0]
    high = float(VP().sigma(jnp.asarray(0.1)))
    expected = (high ** (1 / 7) + np.arange(4) / 3 * (0.002 ** (1 / 7) - high ** (1 / 7))) ** 7
    np.testing.assert_allclose(levels, [*expected, 0.0], rtol=1e-4)


def test_an_unknown_setting_lists_the_known_ones():
    with pytest.raises(ValueError, match="no setting 'x': choose one of cifar10-linf-diffpure"):
        setting("x", DENOISE, Gaussian())
