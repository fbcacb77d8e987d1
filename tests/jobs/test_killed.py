"""Jobs of several processes: killed at random and resumed on other numbers of processes, and refused on one side."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ssni_jax.journal.calibration import load_calibrated
from ssni_jax.journal.certification import load_certified
from ssni_jax.journal.evaluation import load_evaluated
from ssni_jax.journal.merge import merge

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
N_KILLS = 20
COMMANDS = {
    "evaluate": ["evaluate", "tests/configs/toy_evaluation.py", "--n-images", "96", "--attack.n-steps", "20"],
    "certify": ["certify", "tests/configs/toy_certification.py", "--n-estimation", "20000"],
    "calibrate": ["calibrate", "tests/configs/toy_calibration.py", "--n-images", "300", "--batch-size", "6"],
}


def command(name, workdir, n_processes, *more):
    """The command line of one job, alone or under the launcher."""
    flags = [*COMMANDS[name], *more, "--workdir", str(workdir)]
    flags += ["--out", str(workdir.with_suffix(".json"))] if name == "calibrate" else []
    if n_processes == 1:
        return [sys.executable, "-c", "from ssni_jax.cli import main; main()", *flags]
    launcher = [sys.executable, "launch/local_multiprocess.py", "--processes", str(n_processes), "--devices", "2", "--"]
    return [*launcher, *flags]


def start(name, workdir, n_processes, *more):
    return subprocess.Popen(
        command(name, workdir, n_processes, *more), cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def finish(name, workdir, n_processes=1, timeout=300):
    """Exit code and output of a job that is left alone."""
    process = start(name, workdir, n_processes)
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def workers(process):
    """The processes of a job, without its launcher."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True).stdout.split("\n")[1:]
    parents = {int(pid): int(parent) for pid, parent in (line.split() for line in listed if line)}
    family, grown = {process.pid}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        family, grown = family | more, bool(more)
    return sorted(family - {process.pid}) or [process.pid]


def n_units(workdir):
    return len(list((workdir / "units").glob("*.jsonl")))


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_random_and_resumed_on_other_numbers_of_processes_nothing_changes(name, tmp_path):
    """A third of the kills each; a kill falls between the first new unit and the end."""
    rng = random.Random(name)
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    assert finish(name, alone)[0] == 0
    for _ in range(-(-N_KILLS // len(COMMANDS))):
        before, process = n_units(killed), start(name, killed, rng.choice([1, 2, 3]))
        while process.poll() is None and n_units(killed) == before:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        if process.poll() is None:
            os.kill(rng.choice(workers(process)), signal.SIGKILL)
        begun = time.monotonic()
        process.communicate(timeout=90)
        assert time.monotonic() - begun < 60
        if process.returncode == 0:
            break
    assert finish(name, killed, 2)[0] == 0
    same_results(name, alone, killed)


def same_results(name, alone, killed):
    """The same ids and draws, clean answers equal, and at most 1 % of adversarial outcomes different."""
    if name == "calibrate":
        one, two = (load_calibrated(workdir).norms for workdir in (alone, killed))
        assert one.keys() == two.keys()
        np.testing.assert_allclose([one[id] for id in one], [two[id] for id in one], rtol=1e-4)
    elif name == "certify":
        one, two = (
            [(r["id"], r["sigma"], r["selection"], r["estimation"]) for r in load_certified(workdir).records]
            for workdir in (alone, killed)
        )
        assert one == two
    else:
        one, two = (load_evaluated(workdir).records for workdir in (alone, killed))
        assert [(r["id"], r["clean_label"], len(r["draws"])) for r in one] == [
            (r["id"], r["clean_label"], len(r["draws"])) for r in two
        ]
        draws = [np.array([r["draws"] for r in records]) for records in (one, two)]
        assert np.mean(draws[0] != draws[1]) <= 0.01
        identities = {json.loads((workdir / "experiment.json").read_text())["hash"] for workdir in (alone, killed)}
        assert len(identities) == 1


def refused(tmp_path, config, workdir, prepare=None):
    """Exit code, seconds and standard error of an evaluation on two processes."""
    begun = time.monotonic()
    launcher = [sys.executable, "launch/local_multiprocess.py", "--processes", "2", "--devices", "2", "--"]
    done = subprocess.run(
        [*launcher, "evaluate", str(config), "--workdir", str(workdir)], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), **(prepare or {})}, timeout=120,
    )  # fmt: skip
    return done.returncode, time.monotonic() - begun, done.stderr


def sentences(stderr, *words):
    return [line for line in stderr.splitlines() if all(word in line for word in words)]


FOLDER = """
import dataclasses
from ssni_jax.data import ImageFolder
from tests.configs.toy import evaluation

experiment = dataclasses.replace(evaluation, images=ImageFolder({folder!r}, channels=1), order_seed=None)
"""


def test_a_truncated_image_on_one_process_ends_both_with_one_sentence(tmp_path):
    """Image 5 of a batch of 8 belongs to process 1."""
    from ssni_jax.data import Digits, write_image

    folder = tmp_path / "images" / "0"
    folder.mkdir(parents=True)
    for i in range(16):
        write_image(folder / f"{i:02d}.png", Digits("test").images[i])
    broken = folder / "13.png"
    broken.write_bytes(broken.read_bytes()[:60])
    config = tmp_path / "config.py"
    config.write_text(FOLDER.format(folder=str(tmp_path / "images")))
    code, seconds, stderr = refused(tmp_path, config, tmp_path / "w")
    assert code == 2 and seconds < 60
    assert len(sentences(stderr, "ssni:", "13.png")) == 1


@pytest.mark.parametrize("failure", ["unwritable", "full"])
def test_a_disk_that_fails_on_one_process_ends_both_with_one_sentence(tmp_path, failure):
    """The error is raised in process 1 alone, where it writes its rows of the second unit."""
    number = {"unwritable": 13, "full": 28}[failure]
    config = tmp_path / "config.py"
    config.write_text(
        "import os\n"
        "from tests.configs.toy import evaluation as experiment\n"
        "link, calls = os.link, []\n"
        "def failing(part, path):\n"
        "    calls.append(1) if str(path).endswith('.jsonl') else None\n"
        "    if os.environ['JAX_PROCESS_ID'] == '1' and len(calls) == 2:\n"
        f"        raise OSError({number}, os.strerror({number}))\n"
        "    return link(part, path)\n"
        "os.link = failing\n"
    )
    code, seconds, stderr = refused(tmp_path, config, tmp_path / "w")
    assert code == 2 and seconds < 60
    assert len(sentences(stderr, "ssni: Could not write")) == 1


def test_a_killed_process_is_named_and_the_run_resumes(tmp_path):
    process = start("evaluate", tmp_path / "w", 2)
    while process.poll() is None and n_units(tmp_path / "w") == 0:
        time.sleep(0.01)
    begun = time.monotonic()
    os.kill(workers(process)[-1], signal.SIGKILL)
    _, stderr = process.communicate(timeout=90)
    assert process.returncode == 75 and time.monotonic() - begun < 60
    assert sentences(stderr, "process", "run the same command again to resume")
    assert finish("evaluate", tmp_path / "w")[0] == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
@pytest.mark.parametrize("n_processes", [1, 2])
def test_a_signal_ends_the_unit_and_says_how_to_resume(tmp_path, number, code, n_processes):
    process = start("evaluate", tmp_path / "w", n_processes)
    while process.poll() is None and n_units(tmp_path / "w") == 0:
        time.sleep(0.01)
    os.kill(process.pid, number)
    out, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert len(sentences(out, "Stopped; resume with: ssni evaluate")) == 1 and "Traceback" not in stderr
    assert finish("evaluate", tmp_path / "w")[0] == 0


def test_a_signal_to_one_of_two_processes_stops_both_and_the_attack_resumes_where_it_was(tmp_path):
    """As the preemption of one host: the other is told at the next chunk, and both save the same iteration."""
    flags = ["--n-images", "16", "--attack.n-steps", "300"]
    process = start("evaluate", tmp_path / "w", 2, *flags)
    while process.poll() is None and n_units(tmp_path / "w") == 0:
        time.sleep(0.01)
    time.sleep(0.5)
    os.kill(workers(process)[-1], signal.SIGTERM)
    out, stderr = process.communicate(timeout=60)
    assert process.returncode == 75 and "Traceback" not in stderr
    assert len(sentences(out, "Stopped; resume with: ssni evaluate")) == 1
    states = [np.load(path) for path in sorted((tmp_path / "w" / "states").glob("*.npz"))]
    assert len(states) == 2 and int(states[0]["i"]) == int(states[1]["i"]) > 0
    process = start("evaluate", tmp_path / "w", 2, *flags)
    assert process.communicate(timeout=120) and process.returncode == 0
    assert len(load_evaluated(tmp_path / "w").records) == 16 and not list((tmp_path / "w" / "states").iterdir())


def test_four_leasing_processes_finish_the_block_of_one_that_is_killed(tmp_path):
    """Whoever is left takes it over; each ends by itself, and every image has one record."""
    flags = ["--lease", "--n-images", "64", "--attack.n-steps", "60"]
    four = [start("evaluate", tmp_path / "w", 1, *flags) for _ in range(4)]
    leases = tmp_path / "w" / "leases"
    while not (held := holders(leases)):
        time.sleep(0.01)
    block, victim = next(iter(held.items()))
    os.kill(victim, signal.SIGKILL)
    codes = {process.pid: process.wait(timeout=300) for process in four}
    assert codes.pop(victim) == -signal.SIGKILL and set(codes.values()) == {0}
    assert (tmp_path / "w" / "units" / f"{block}.jsonl").exists() and not list(leases.iterdir())
    headers = [json.loads(path.read_text().splitlines()[0]) for path in (tmp_path / "w" / "units").glob("*.jsonl")]
    assert sum(header["n_records"] for header in headers) == 64
    assert len(load_evaluated(tmp_path / "w").records) == 64


def holders(leases):
    """The process of each lease, by the name of its unit."""
    held = {}
    for path in leases.glob("*.json"):
        with contextlib.suppress(OSError, ValueError):
            held[path.stem] = json.loads(path.read_text())["pid"]
    return held


def test_shards_in_workdirs_of_their_own_are_merged_to_the_run_of_one_process(tmp_path):
    flags = ["--n-images", "32"]
    process = start("evaluate", tmp_path / "alone", 1, *flags)
    assert process.communicate(timeout=300) and process.returncode == 0
    for number in range(2):
        process = start("evaluate", tmp_path / f"host{number}", 1, *flags, "--shard", f"{number}/2")
        assert process.communicate(timeout=300) and process.returncode == 0
    merge(tmp_path / "joined", [tmp_path / "host0", tmp_path / "host1"])
    same_results("evaluate", tmp_path / "alone", tmp_path / "joined")


def test_two_jobs_share_a_workdir_by_leasing_its_blocks(tmp_path):
    """Neither is refused, every image has one record, and both leave when all is done."""
    both = [start("evaluate", tmp_path / "w", 1) for _ in range(2)]
    assert [process.communicate(timeout=300) and process.returncode for process in both] == [0, 0]
    stages = [json.loads(path.read_text().splitlines()[0]) for path in (tmp_path / "w" / "units").glob("*.jsonl")]
    assert sum(stage["n_records"] for stage in stages) == 96
    assert len(load_evaluated(tmp_path / "w").records) == 96
