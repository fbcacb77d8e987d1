"""Programs of large jobs compile for a TPU slice and eight GPUs that are not there; none communicates in its loops."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.accelerators import COMPILED, LOWERED

ROOT = Path(__file__).parent.parent
PLUGINS = {"tpu:v5e:2x4": "libtpu", "gpu:h100:8": "jax_cuda13_plugin"}
INSTALL = {"libtpu": "pip install 'ssni_jax[tpu]'", "jax_cuda13_plugin": "pip install 'ssni_jax[cuda]'"}
GATHERS = {"all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute"}
pytestmark = pytest.mark.slow


def facts_of(target, case):
    """What the compiler for a target says of a case; skipped where the compiler is not installed."""
    plugin = PLUGINS[target]
    if importlib.util.find_spec(plugin) is None:
        pytest.skip(f"the compiler for {target} is not installed: {INSTALL[plugin]}")
    command = [sys.executable, "-m", "tests.accelerators", target, case]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    print(ended.stdout)
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize("target", PLUGINS)
@pytest.mark.parametrize("case", COMPILED)
def test_a_program_compiles_fits_and_communicates_outside_of_its_loops(target, case):
    facts = facts_of(target, case)
    assert facts["arguments"] + facts["temporary"] + facts["results"] < facts["device_bytes"]
    if case == "training-fsdp":  # parameters are gathered, gradients reduced
        assert "all-gather" in facts["collectives"] and set(facts["collectives"]) <= GATHERS
    elif case == "evaluation-fsdp":  # weights are collected for each call
        assert set(facts["in_loops"]) == {"all-gather"}
    else:
        assert facts["in_loops"] == {}
    if case.startswith("denoiser") or case.startswith("pgd"):
        assert facts["collectives"] == {}


@pytest.mark.parametrize("target", PLUGINS)
@pytest.mark.parametrize("case", LOWERED)
def test_a_program_is_lowered(target, case):
    assert facts_of(target, case)["case"] == case
