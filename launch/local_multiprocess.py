"""Runs one `ssni` command as several processes on this machine, as a pod would, over fake CPU devices.

    python launch/local_multiprocess.py --processes 2 --devices 2 -- evaluate CONFIG --workdir DIR

For trying a multi-process job before paying for one. When one process fails or the time is up, all are ended.
"""

import argparse
import os
import socket
import subprocess
import sys
import time


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--devices", type=int, default=2, help="fake devices a process")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds until all are ended")
    parser.add_argument("command", nargs="+", help="the arguments of ssni, after --")
    options = parser.parse_args()
    start = "from ssni_jax.cli import main; main()"
    command = [sys.executable, "-c", start, *options.command]
    address = f"127.0.0.1:{free_port()}"
    running = [
        subprocess.Popen(command, env=os.environ | environment(address, options, i)) for i in range(options.processes)
    ]
    return wait(running, options.timeout)


def environment(address: str, options: argparse.Namespace, process: int) -> dict[str, str]:
    """What tells one process of the others; `dist.start_processes` reads the first three."""
    return {
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": str(options.processes),
        "JAX_PROCESS_ID": str(process),
        "JAX_NUM_CPU_DEVICES": str(options.devices),
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "JAX_PLATFORMS": "cpu",
    }


def wait(running: list[subprocess.Popen], timeout: float) -> int:
    """The first exit code that is not zero, after ending the others; zero when all are done."""
    end = time.monotonic() + timeout
    while any(process.poll() is None for process in running):
        failed = [process.returncode for process in running if process.returncode]
        if failed or time.monotonic() > end:
            for process in running:
                process.kill()
            return failed[0] if failed else 124
        time.sleep(0.2)
    return max(process.returncode for process in running)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
