"""Signals, in small processes of their own: nothing heavy is imported, so each takes a tenth of a second."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from ssni_jax.lifecycle import Stopper

READY = """
    import signal, threading, time
    from ssni_jax.lifecycle import Stopper

    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # where the tests themselves run under nohup, it is ignored

    def work(seconds):
        print("ready", flush=True)
        threading.Event().wait(seconds)  # as a compilation does, it runs no Python code in the main thread
"""
UNITS = """
    with Stopper("ssni evaluate x", grace_s=20) as stopper:
        print("ready", flush=True)
        while True:
            time.sleep(0.2)
            print("unit", flush=True)
            if stopper.asked is not None:
                stopper.leave(stopper.asked)
"""
LONG = """
    with Stopper("ssni evaluate x", grace_s=GRACE) as stopper:
        work(30)
"""
COMPILING = """
    with Stopper("ssni evaluate x") as stopper, stopper.nothing_to_lose():
        work(30)
"""


def stopped(body, *numbers, environment=(), pause=0.7):
    """Exit code, stdout, stderr and seconds of a script that is sent signals once it is ready."""
    script = textwrap.dedent(READY) + textwrap.dedent(body)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **dict(environment)},
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    start = time.monotonic()
    for i, number in enumerate(numbers):
        time.sleep(pause if i else 0.0)
        process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err, time.monotonic() - start


CODES = [(signal.SIGTERM, 75), (signal.SIGINT, 130), (signal.SIGHUP, 75)]


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_signal_lets_the_unit_in_progress_end_and_says_how_to_resume(number, code):
    returned, out, err, _ = stopped(UNITS, number)
    assert (returned, out.splitlines()[-2:]) == (code, ["unit", "Stopped; resume with: ssni evaluate x"])
    assert err == "ssni: stopping after the unit in progress; a second signal stops at once.\n"


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_unit_that_does_not_end_in_time_is_dropped(number, code):
    returned, out, err, seconds = stopped(LONG.replace("GRACE", "1"), number)
    assert (returned, out) == (code, "Stopped; resume with: ssni evaluate x\n")
    assert 0.9 < seconds < 5 and "Traceback" not in err


def test_a_second_signal_drops_the_unit_at_once():
    returned, out, err, seconds = stopped(LONG.replace("GRACE", "None"), signal.SIGTERM, signal.SIGINT)
    assert (returned, out) == (130, "Stopped; resume with: ssni evaluate x\n")
    assert seconds < 5 and len(err.splitlines()) == 1


def test_a_signal_that_arrives_twice_within_a_moment_is_one_signal():
    returned, _, _, seconds = stopped(LONG.replace("GRACE", "2"), signal.SIGTERM, signal.SIGTERM, pause=0.05)
    assert returned == 75 and seconds > 1.5


@pytest.mark.parametrize(("number", "code"), CODES)
def test_while_there_is_nothing_to_lose_the_first_signal_ends_the_process(number, code):
    returned, out, err, seconds = stopped(COMPILING, number)
    assert (returned, out, err) == (code, "Stopped; resume with: ssni evaluate x\n", "")
    assert seconds < 5


def test_a_hangup_that_nohup_ignores_stops_nothing():
    body = f"signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{textwrap.dedent(UNITS)}"
    returned, out, _, _ = stopped(body, signal.SIGHUP, signal.SIGTERM)
    assert (returned, out.splitlines()[-1]) == (75, "Stopped; resume with: ssni evaluate x")
    assert out.count("unit") > 1  # a run that heeds the hangup ends after the first


def test_only_process_0_speaks():
    second = {"JAX_COORDINATOR_ADDRESS": "host:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"}
    assert stopped(COMPILING, signal.SIGTERM, environment=second)[:3] == (75, "", "")


def test_a_stop_that_was_asked_for_before_compiling_is_not_forgotten():
    body = """
        with Stopper() as stopper:
            print("ready", flush=True)
            while stopper.asked is None:
                time.sleep(0.01)
            with stopper.nothing_to_lose():
                print("compiled")
    """
    returned, out, _, _ = stopped(body, signal.SIGTERM)
    assert (returned, out) == (75, "Stopped; resume with: the same command\n")


def test_the_innermost_context_gets_the_signals_and_the_outer_ones_are_restored():
    before = signal.getsignal(signal.SIGTERM)
    with Stopper() as outer:
        with Stopper() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
        assert (inner.asked, outer.asked) == (signal.SIGTERM, None)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        assert outer.asked == signal.SIGINT
    assert signal.getsignal(signal.SIGTERM) is before
