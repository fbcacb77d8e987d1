"""`ssni train` killed, told to stop, and moved to another number of devices."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ssni_jax.convert import read_arrays

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent
N_STEPS, SAVED = 200, 20
CONFIG = f"""
from ssni_jax.data import Digits
from ssni_jax.experiments import Training
from ssni_jax.networks import ConsistencyCoefficients, SongUNetConfig
from ssni_jax.training import RAdam
from ssni_jax.training.consistency import Average, ConsistencyLoss

experiment = Training(
    name="tiny",
    network=SongUNetConfig(
        resolution=8, in_channels=1, out_channels=1, model_channels=8, channel_mult=(1,), num_blocks=1,
        attn_resolutions=(), dropout=0.1,
    ),
    loss=ConsistencyLoss(ConsistencyCoefficients(label_scale=0.25), target=Average(0.9)),
    images=Digits("train"), optimizer=RAdam(1e-3), batch_size=16, n_steps={N_STEPS}, save_every={SAVED}, every=10,
    pictures_every=0,
)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the config and a cache of compiled programs."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "config.py").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def straight(place):
    begin(place, "straight").wait(300)
    return read_arrays(place / "straight" / "tiny")


def begin(place, workdir, n_devices=1):
    return started(place, ["train", str(place / "config.py"), "--workdir", str(place / workdir)], n_devices)


def started(place, arguments, n_devices=1):
    flags = f"--xla_force_host_platform_device_count={n_devices}"
    env = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "JAX_COMPILATION_CACHE_DIR": str(place / "cache")}
    command = [sys.executable, "-c", "from ssni_jax.cli import main; main()", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True)


def interrupted(place, workdir, number):
    """Begins a run, sends it a signal once it has saved, and gives its exit code, its last words and the delay."""
    process = begin(place, workdir)
    while process.poll() is None and not (place / workdir / "checkpoints" / str(SAVED)).exists():
        time.sleep(0.02)
    process.send_signal(number)
    start = time.monotonic()
    words = process.communicate(timeout=60)[0]
    assert not (place / workdir / "tiny.safetensors").exists(), "the run ended before it was interrupted"
    return process.returncode, words, time.monotonic() - start


def largest_difference(one, other):
    return max(np.abs(one.part(name, ()) - other.part(name, ())).max() for name in other)


def test_a_killed_run_ends_with_the_bits_of_an_uninterrupted_one(place, straight):
    assert interrupted(place, "killed", signal.SIGKILL)[0] == -signal.SIGKILL
    assert begin(place, "killed").wait(300) == 0
    assert largest_difference(read_arrays(place / "killed" / "tiny"), straight) == 0


def test_a_run_told_to_stop_saves_within_half_a_minute_and_says_how_to_go_on(place, straight):
    code, words, seconds = interrupted(place, "stopped", signal.SIGTERM)
    assert code == 75 and seconds < 30
    command = shlex.split(words.strip().splitlines()[-1].partition("resume with: ")[2])
    assert command[0] == "ssni" and started(place, command[1:]).wait(300) == 0
    assert largest_difference(read_arrays(place / "stopped" / "tiny"), straight) == 0


def test_a_run_goes_on_with_another_number_of_devices(place, straight):
    """To float tolerance, because sums over the batch are taken in another order."""
    interrupted(place, "moved", signal.SIGKILL)
    assert begin(place, "moved", n_devices=2).wait(300) == 0
    assert 0 < largest_difference(read_arrays(place / "moved" / "tiny"), straight) < 2e-3
