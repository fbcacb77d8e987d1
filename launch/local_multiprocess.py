"""Runs one `ssni` command as several processes on this machine, as a pod would, over fake CPU devices.

    python launch/local_multiprocess.py --processes 2 --devices 2 -- evaluate CONFIG --workdir DIR

For trying a multi-process job before paying for one. Exit codes are those of `ssni`: 0 complete, 2 refused, 75 stopped
or a process lost (the same command resumes), 130 Ctrl-C. However it ends, no process is left behind.
"""

import argparse
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time

AGAIN, TIMED_OUT = 75, 124
OTHERS_S = 60  # for the others to end by themselves once one process has: they agree on a refusal or a stop
ENDING_S = 10  # between SIGTERM and SIGKILL
PR_SET_PDEATHSIG = 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--devices", type=int, default=2, help="fake devices per process")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds until all are ended")
    parser.add_argument("--heartbeat", type=int, default=40, help="seconds after which a silent process counts as lost")
    parser.add_argument("command", nargs="+", help="the arguments of ssni, after --")
    options = parser.parse_args()
    command = [sys.executable, "-c", "from ssni_jax.cli import main; main()", *options.command]
    address, control = f"127.0.0.1:{free_port()}", process_control()
    running: list[subprocess.Popen] = []
    stops = pass_on_signals(running)
    try:
        for i in range(options.processes):
            running.append(
                subprocess.Popen(
                    command,
                    env=os.environ | environment(address, options, i),
                    start_new_session=True,  # Ctrl-C reaches this launcher, which passes it on once
                    preexec_fn=control,
                )
            )
        return wait(running, options.timeout, stops)
    finally:
        end(running)


def environment(address: str, options: argparse.Namespace, process: int) -> dict[str, str]:
    """What tells one process of the others; `dist.start_processes` reads the first four."""
    return {
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": str(options.processes),
        "JAX_PROCESS_ID": str(process),
        "SSNI_HEARTBEAT_S": str(options.heartbeat),
        "JAX_NUM_CPU_DEVICES": str(options.devices),
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "JAX_PLATFORMS": "cpu",
    }


def wait(running: list[subprocess.Popen], timeout: float, stops: list[int]) -> int:
    """The job's exit code, once every process has ended or one has ended in a way that the others cannot survive."""
    deadline = time.monotonic() + timeout
    first_end = None
    while any(process.poll() is None for process in running):
        killed = [i for i, process in enumerate(running) if (process.returncode or 0) < 0]
        if killed:
            break
        if first_end is None and any(process.returncode for process in running):
            first_end = time.monotonic()
        if time.monotonic() > deadline:
            return TIMED_OUT
        if first_end is not None and time.monotonic() > first_end + OTHERS_S:
            break
        time.sleep(0.1)
    return exit_code([process.returncode for process in running], stops)


def exit_code(codes: list[int | None], stops: list[int]) -> int:
    """The job's exit code from those of its processes; says which one was killed, unless a stop was asked for."""
    for i, code in enumerate(codes):
        if code is not None and code < 0:
            if not stops:
                print(
                    f"process {i} was killed (signal {-code}); the others were ended;"
                    " run the same command again to resume.",
                    file=sys.stderr,
                    flush=True,
                )
            return AGAIN
    failed = [code for code in codes if code]
    return min(failed) if failed else 0  # a refusal (2) explains why others were lost (75)


def end(running: list[subprocess.Popen]) -> None:
    """Ends every process that still runs: SIGTERM, and SIGKILL for those that need longer than `ENDING_S` seconds."""
    send(running, signal.SIGTERM)
    deadline = time.monotonic() + ENDING_S
    while any(process.poll() is None for process in running) and time.monotonic() < deadline:
        time.sleep(0.1)
    send(running, signal.SIGKILL)
    for process in running:
        process.wait()


def send(running: list[subprocess.Popen], number: int) -> None:
    """Sends a signal to every process that still runs."""
    for process in running:
        if process.poll() is None:
            process.send_signal(number)


def pass_on_signals(running: list[subprocess.Popen]) -> list[int]:
    """Sends each SIGTERM, SIGINT and SIGHUP to all processes from now on; returns the growing list of those sent."""
    stops: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        stops.append(number)
        send(running, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, pass_on)
    return stops


def process_control():
    """What a child does before it starts, on Linux: it dies when this launcher does."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
