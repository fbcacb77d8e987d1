"""`launch/local_multiprocess.py`: what it makes of its processes' ends, and that it leaves none behind."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.jobs.test_training_faults import CONFIG

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "launch" / "local_multiprocess.py"


@pytest.fixture(scope="module")
def launcher():
    spec = importlib.util.spec_from_file_location("local_multiprocess", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([0, 0], 0), ([2, 2], 2), ([2, 75], 2), ([75, 75], 75), ([75, None], 75), ([130, 130], 130), ([1, 75], 1)],
)
def test_the_exit_code_is_that_of_the_job(launcher, codes, expected, capsys):
    assert launcher.exit_code(codes, stops=[]) == expected
    assert capsys.readouterr().err == ""


def test_a_killed_process_is_named(launcher, capsys):
    assert launcher.exit_code([None, -9], stops=[]) == 75
    assert capsys.readouterr().err == (
        "process 1 was killed (signal 9); the others were ended; run the same command again to resume.\n"
    )


@pytest.fixture
def training(tmp_path):
    """Starts training in two processes and waits for the first checkpoint; gives the launcher and all its children."""
    launched = []

    def start(*flags, steps=10_000):
        (tmp_path / "config.py").write_text(CONFIG)
        command = ["train", str(tmp_path / "config.py"), "--workdir", str(tmp_path / "w"), "--n-steps", str(steps)]
        launched.append(
            subprocess.Popen(
                [sys.executable, str(SCRIPT), "--devices", "1", "--heartbeat", "15", "--", *command, *flags],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
        process = launched[0]
        while process.poll() is None and not (tmp_path / "w" / "checkpoints" / "20").exists():
            time.sleep(0.05)
        return process, descendants(process.pid)

    yield start
    for process in launched:
        process.kill()


def descendants(pid):
    try:
        direct = [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return direct + [number for child in direct for number in descendants(child)]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def sentences(err):
    return [line for line in err.splitlines() if "counts as lost" not in line]


@pytest.mark.slow
def test_a_killed_process_ends_the_job_with_a_sentence_and_code_75(training):
    process, family = training()
    assert len(family) == 4, "two processes, each with a supervisor"
    start = time.monotonic()
    os.kill(family[1], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75 and time.monotonic() - start < 60
    said = "process 1 was killed (signal 9); the others were ended; run the same command again to resume."
    assert sentences(err)[-1] == said and "Traceback" not in err and len(sentences(err)) <= 2
    assert not any(map(is_alive, family))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_stop_is_passed_on_once_and_the_same_command_resumes(training, number, code):
    process, family = training()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code and "Stopped; resume with: ssni train" in out
    assert sentences(err) == ["ssni: stopping after the unit in progress; a second signal stops at once."]
    assert not any(map(is_alive, family))


@pytest.mark.slow
def test_a_killed_launcher_leaves_no_process_behind(training):
    process, family = training()
    process.kill()
    process.wait()
    end = time.monotonic() + 10
    while any(map(is_alive, family)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(is_alive, family))


@pytest.mark.slow
def test_a_refusal_ends_all_with_code_2(training):
    process, _ = training("--batch-size", "15")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and len(sentences(err)) == 1, err
