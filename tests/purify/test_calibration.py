import dataclasses
import json

import pytest

from ssni_jax.purify import Calibration
from tests.kit import Gaussian, calibration, two_modes

NORMS = Calibration((3.0, 1.0, 2.0, 6.0), "abc", "def", "digits", 20, seed=4)


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
    calibration().check(two_modes())
    with pytest.raises(ValueError, match="belongs to network"):
        calibration().check(Gaussian())
