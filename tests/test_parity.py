"""The small reference cases, the copies in tests/reference/cases; `python tests/parity.py DIR` runs full-size ones."""

from pathlib import Path

import pytest

from tests.reference import containers, methods, networks

CASES = Path(__file__).parent / "reference" / "cases"
NETWORKS = sorted(path.parent.name for path in CASES.glob("*/manifest.json"))
SLOW = {
    "consistency_small",
    "fid_inception",
    "jcm_small",
    "lpips_vgg",
    "edm_ve_small",
    "edm_vp_small",
    "guided_diffusion_small",
}  # one is large, others share networks
SLOW_METHODS = {
    "diffpure_sde",
    "ddpm_ancestral_100",
    "diffpure_ode",
    "edm_heun",
    "gns_ddim",
    "gns_ddpm",
    "eps",
}  # their steps and grids have laws, and the score norm is a part of SSNI's cases
METHODS = [
    pytest.param(file.stem, marks=pytest.mark.slow if file.stem in SLOW_METHODS else ())
    for file in sorted(CASES.glob("methods/*.npz"))
]
FILES = sorted({file.parent.name for file in CASES.glob("*/*") if file.suffix not in (".npz", ".json")})


@pytest.mark.parametrize("case", [case for case in NETWORKS if case not in SLOW])
def test_a_network_agrees_with_its_reference(case):
    checks = list(networks.checks(CASES / case, n_outputs=1))
    assert checks and all(check.passed for check in checks), checks


@pytest.mark.slow
@pytest.mark.parametrize("case", NETWORKS)
def test_every_output_agrees_with_its_reference_and_bfloat16_within_three_percent_with_it(case):
    checks = list(networks.checks(CASES / case, bfloat16=True))
    assert checks and all(check.passed for check in checks), checks
    assert all(0 < check.bfloat16 < 3e-2 for check in checks), checks


@pytest.mark.parametrize("case", FILES)
def test_a_released_file_holds_what_its_reference_says(case):
    checks = list(containers.checks(CASES / case, averages=False))
    assert checks and all(check.passed for check in checks), checks


@pytest.mark.slow
@pytest.mark.parametrize("case", FILES)
def test_the_averages_of_a_released_file_give_the_outputs_of_its_reference(case):
    checks = list(containers.checks(CASES / case))
    assert checks and all(check.passed for check in checks), checks


@pytest.mark.parametrize("method", METHODS)
def test_a_method_agrees_with_its_reference(method):
    checks = list(methods.checks(CASES / "methods" / f"{method}.npz"))
    assert checks and all(check.passed for check in checks), checks
