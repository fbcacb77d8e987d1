"""What importing the package costs, and signals before anything runs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def printed(script):
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_the_package_and_its_command_line_import_nothing_heavy():
    heavy = "{'jax', 'numpy', 'tyro', 'rich'} & {*sys.modules}"
    assert printed(f"import sys, ssni_jax, ssni_jax.cli; print({heavy})") == "set()\n"


def test_purify_is_the_function_although_a_subpackage_has_its_name():
    script = """
import ssni_jax.purify
from ssni_jax.purify import Vote
from ssni_jax import purify
print(ssni_jax.purify.__module__, purify is ssni_jax.purify, Vote.__name__)
"""
    assert printed(script) == "ssni_jax.api True Vote\n"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
@pytest.mark.parametrize("seconds", [0.4, 1.5, 3.0])
def test_a_signal_during_the_imports_gets_one_sentence(tmp_path, number, code, seconds):
    command = ["evaluate", "configs/ssni_n_digits.py", "--workdir", str(tmp_path / "w")]
    process = subprocess.Popen(
        [sys.executable, "-c", "from ssni_jax.cli import main; main()", *command],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    time.sleep(seconds)
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (code, "")
    assert out.splitlines()[-1] == f"Stopped; resume with: ssni {' '.join(command)}"
