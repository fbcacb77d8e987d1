"""Jobs of two processes that lose one, or in which one fails: real processes with a small stand-in for a command."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
JOB = """
    import os, sys, time
    from ssni_jax import cli

    mode = sys.argv[1]

    class Command:
        def run(self, overrides):
            import jax, numpy as np
            from jax.experimental import multihost_utils
            from ssni_jax.dist import agree
            from ssni_jax.lifecycle import Stopper

            here = jax.process_index()
            if mode == "compiling":
                print("ready", flush=True)
                time.sleep(60)
            with Stopper("ssni this") as stopper:
                for unit in range(300):
                    error = None
                    if mode == "collective":
                        multihost_utils.process_allgather(np.asarray(1))
                    if unit == 5 and mode == f"agreed {here}":
                        error = ValueError("this image cannot be read")
                    if unit == 5 and mode in (f"suddenly {here}", "suddenly both"):
                        raise ValueError("this image cannot be read")
                    time.sleep(0.1)
                    if mode != "apart":
                        asked = agree(error, stopper.asked)
                        if asked is not None:
                            stopper.leave(asked)
                    if unit == 1:
                        print("ready", flush=True)

    cli.parse = lambda arguments: (Command(), [])
    cli.main(["this"])
"""
HEARTBEAT_S = 10


@pytest.fixture
def job():
    """Starts both processes of a job in a mode, waits until they work, and ends what is left of them."""
    started = []

    def start(mode):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        for i in range(2):
            environment = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": str(i)}
            environment |= {"SSNI_HEARTBEAT_S": str(HEARTBEAT_S), "JAX_PLATFORMS": "cpu"}
            environment |= {"JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo"}
            command = [sys.executable, "-c", textwrap.dedent(JOB), mode]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            started.append(subprocess.Popen(command, env=os.environ | environment, **pipes))
        for process in started:
            while (line := process.stdout.readline()) != "ready\n":
                assert line, process.communicate()[1]
        return started

    yield start
    for process in started:
        process.kill()


def ended(processes, seconds=60):
    """Exit codes, and all lines on stderr but the one about the heartbeat."""
    errors = [process.communicate(timeout=seconds)[1].splitlines() for process in processes]
    return [process.returncode for process in processes], [
        line for lines in errors for line in lines if "counts as lost" not in line
    ]


def children(pid):
    return [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("mode", ["collective", "units", "apart"])
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_is_named_in_one_sentence_and_leaves_no_child(job, mode, victim):
    processes = job(mode)
    (child,) = children(processes[victim].pid)
    processes[victim].kill()
    codes, lines = ended(processes)
    assert codes[1 - victim] == 75
    assert lines == [f"ssni: process {victim} of 2 no longer answers; run the same command again to resume."]
    time.sleep(0.5)
    assert not is_alive(child)


def test_a_process_whose_child_is_killed_ends_as_its_child_did(job):
    processes = job("collective")
    os.kill(children(processes[1].pid)[0], signal.SIGKILL)
    codes, lines = ended(processes)
    assert codes == [75, -signal.SIGKILL] and len(lines) == 1


@pytest.mark.parametrize("mode", ["agreed 0", "agreed 1", "suddenly 0", "suddenly 1", "suddenly both"])
def test_a_refusal_by_one_process_or_both_ends_both_and_is_said_once(job, mode):
    start = time.monotonic()
    assert ended(job(mode)) == ([2, 2], ["ssni: this image cannot be read"])
    assert time.monotonic() - start < 60


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
@pytest.mark.parametrize("told", [(1,), (0, 1)])
def test_a_stop_that_one_or_both_are_told_of_stops_both(job, number, code, told):
    processes = job("collective")
    for i in told:
        processes[i].send_signal(number)
    codes, lines = ended(processes)
    assert codes == [code, code]
    assert lines == ["ssni: stopping after the unit in progress; a second signal stops at once."] * (0 in told)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_stop_while_compiling_is_immediate_in_all_processes(job, number, code):
    processes = job("compiling")
    start = time.monotonic()
    for process in processes:
        process.send_signal(number)
    assert ended(processes) == ([code, code], [])
    assert time.monotonic() - start < 10
