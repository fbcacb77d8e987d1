"""The small reference cases, the copies in tests/reference/cases; `python tests/parity.py DIR` runs full-size ones."""

from pathlib import Path

import pytest

from tests.reference import containers, methods, networks

CASES = Path(__file__).parent / "reference" / "cases"
LARGE = {"fid_inception"}
NETWORKS = [
    pytest.param(path.parent.name, marks=pytest.mark.slow if path.parent.name in LARGE else ())
    for path in sorted(CASES.glob("*/manifest.json"))
]
METHODS = sorted(file.stem for file in CASES.glob("methods/*.npz"))
FILES = sorted({file.parent.name for file in CASES.glob("*/*") if file.suffix not in (".npz", ".json")})


@pytest.mark.parametrize("case", NETWORKS)
def test_a_network_agrees_with_its_reference_and_bfloat16_within_three_percent_with_it(case):
    checks = list(networks.checks(CASES / case, bfloat16=True))
    assert checks and all(check.passed for check in checks), checks
    assert all(0 < check.bfloat16 < 3e-2 for check in checks), checks


@pytest.mark.parametrize("case", FILES)
def test_a_released_file_holds_what_its_reference_says(case):
    checks = list(containers.checks(CASES / case))
    assert checks and all(check.passed for check in checks), checks


@pytest.mark.parametrize("method", METHODS)
def test_a_method_agrees_with_its_reference(method):
    checks = list(methods.checks(CASES / "methods" / f"{method}.npz"))
    assert checks and all(check.passed for check in checks), checks
