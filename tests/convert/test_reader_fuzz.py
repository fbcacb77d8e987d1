"""Injured files: whatever happened to them, the reader returns a tree or a sentence."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.convert import fuzz
from tests.convert.files import (
    good,
    refusal,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", range(50))
def test_random_bytes_are_refused(tmp_path, seed):
    start = (b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x04", b"\x85", good()["torch legacy"][:60])[seed % 6]
    refusal(tmp_path, start + np.random.default_rng(seed).bytes(500))


def run_fuzz(*options: str) -> subprocess.CompletedProcess:
    """In a process of its own, whose memory is limited."""
    return subprocess.run([sys.executable, "-m", fuzz.__name__, *options], cwd=ROOT, capture_output=True, text=True)


def test_mutated_files_of_every_format_are_a_tree_or_refused(tmp_path):
    for name, data in good().items():
        outcome = fuzz.fuzz(name, data, 3, tmp_path)
        assert outcome.violations == [] and outcome.trees + outcome.errors == 3


@pytest.mark.slow
def test_mutated_files_are_a_tree_or_refused_in_bounded_time_and_memory():
    result = run_fuzz("100", "--small")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_thousands_of_mutated_files_are_a_tree_or_refused():
    result = run_fuzz("2000")
    assert result.returncode == 0, result.stdout + result.stderr
