import dataclasses
import json

import pytest

from ssni_jax.purify import Calibration, ScoreNorm, SingleScoreNorm
from ssni_jax.schedules import VP, DiscreteVP
from tests.kit import N_LEVELS, Gaussian, calibration, two_modes

NORMS = Calibration((3.0, 1.0, 2.0, 6.0), "abc", "def", "digits", {"kind": "ScoreNorm", "n_levels": 20}, seed=4)


def test_mean_and_extremes_are_those_of_the_norms():
    assert (NORMS.mean, NORMS.low, NORMS.high) == (3.0, 1.0, 6.0)


@pytest.mark.parametrize(
    ("norms", "said"),
    [((), "got 0"), ((1.0,), "got 1"), ((1.0, float("nan"), float("inf")), "got 3, 2 of them not finite")],
)
def test_too_few_or_broken_norms_are_refused(norms, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(NORMS, norms=norms)


def test_json_gives_the_calibration_back():
    assert Calibration.from_json(json.loads(json.dumps(NORMS.as_json()))) == NORMS


def test_json_says_what_a_level_takes_from_it():
    assert {"mean": 3.0, "low": 1.0, "high": 6.0}.items() <= NORMS.as_json().items()


def test_a_missing_key_is_named():
    values = {name: value for name, value in NORMS.as_json().items() if name not in ("network", "seed")}
    with pytest.raises(ValueError, match=r"lacks network, seed: .*`ssni calibrate`"):
        Calibration.from_json(values)


def test_the_network_of_the_norms_passes_and_another_is_refused():
    calibration().check(ScoreNorm(two_modes(), VP(), N_LEVELS))
    with pytest.raises(ValueError, match="belongs to network"):
        calibration().check(ScoreNorm(Gaussian(), VP(), N_LEVELS))


@pytest.mark.parametrize(
    "other",
    [
        ScoreNorm(two_modes(), VP(), N_LEVELS + 1),
        ScoreNorm(two_modes(), VP(), N_LEVELS, spacing=2e-3),
        ScoreNorm(two_modes(), VP(), N_LEVELS, perturbed=False),
        ScoreNorm(two_modes(), DiscreteVP(), N_LEVELS),
        SingleScoreNorm(two_modes(), VP()),
    ],
    ids=["levels", "spacing", "unperturbed", "schedule", "kind"],
)
def test_norms_of_one_deviation_do_not_pass_for_another_ones(other):
    with pytest.raises(ValueError, match=r"measured with ScoreNorm\(n_levels=3.*, not with .*: run `ssni calibrate`"):
        calibration().check(other)


def test_how_many_levels_share_a_call_does_not_matter():
    calibration().check(ScoreNorm(two_modes(), VP(), N_LEVELS, n_together=N_LEVELS))


def test_a_file_of_the_first_release_is_of_the_score_norm_on_the_vp_schedule():
    old = {name: value for name, value in calibration().as_json().items() if name != "deviation"} | {
        "n_levels": N_LEVELS
    }
    Calibration.from_json(old).check(ScoreNorm(two_modes(), VP(), N_LEVELS))
