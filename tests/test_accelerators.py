"""Programs of large jobs compile for a TPU slice and eight GPUs that are not there; none communicates in its loops."""

import importlib.util
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.accelerators import COMPILED, LOWERED

ROOT = Path(__file__).parent.parent
PLUGINS = {"tpu:v5e:2x4": "libtpu", "gpu:h100:8": "jax_cuda13_plugin"}
INSTALL = {"libtpu": "pip install 'ssni_jax[tpu]'", "jax_cuda13_plugin": "pip install 'ssni_jax[cuda]'"}
GATHERS = {"all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute"}
pytestmark = pytest.mark.slow


def compiled(target, case):
    """The process that compiled a case for a target, which gives its memory back at its end."""
    command = [sys.executable, "-m", "tests.accelerators", target, case]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def facts_of(request):
    """What the compiler for a target says of a case; skipped where the compiler is not installed.

    Compilers work on one core, so the selected cases are compiled two at a time, in the order of the tests.
    """
    wanted = [item.callspec.params for item in request.session.items if item.module is request.module]
    pairs = [(params["target"], params["case"]) for params in wanted]
    with ThreadPoolExecutor(2) as pool:
        ended = {pair: pool.submit(compiled, *pair) for pair in pairs if importlib.util.find_spec(PLUGINS[pair[0]])}

        def facts(target, case):
            if (target, case) not in ended:
                pytest.skip(f"the compiler for {target} is not installed: {INSTALL[PLUGINS[target]]}")
            result = ended[target, case].result()
            assert result.returncode == 0, result.stderr[-2000:]
            print(result.stdout)
            return json.loads(result.stdout.splitlines()[-1])

        yield facts
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("target", PLUGINS)
@pytest.mark.parametrize("case", COMPILED)
def test_a_program_compiles_fits_and_communicates_outside_of_its_loops(target, case, facts_of):
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
def test_a_program_is_lowered(target, case, facts_of):
    assert facts_of(target, case)["case"] == case
