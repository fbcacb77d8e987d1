"""Joining the processes of a job; a single process needs none of it."""

import itertools
import os
import sys
import threading
from collections.abc import Mapping

import jax

from ssni_jax.dist.service import barrier
from ssni_jax.lifecycle import heartbeat_s, several

GRACE_S = 60
_waits = itertools.count()


def start_processes(timeout_s: int = 300, environment: Mapping[str, str] = os.environ) -> int:
    """Joins this process to the others of the job and returns how many there are; without a launcher it does nothing.

    Set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or start under SLURM or on a TPU pod.
    SSNI_HEARTBEAT_S sets the seconds of silence after which a process counts as lost.
    """
    if jax.distributed.is_initialized():
        return jax.process_count()
    if not several(environment):
        return 1
    # JAX aborts the whole process at its own time-out, with a page of stack: wait beside it, and give up before it.
    heartbeat = heartbeat_s(environment)
    options = {"initialization_timeout": timeout_s + GRACE_S, "heartbeat_timeout_seconds": heartbeat}
    options |= _address(environment)
    failures: list[Exception] = []
    joining = threading.Thread(target=_join, args=(options, failures), daemon=True)
    joining.start()
    joining.join(timeout_s)
    if joining.is_alive():
        raise TimeoutError(_explained(environment, timeout_s))
    if failures:
        raise failures[0]
    n = jax.process_count()
    if jax.process_index() == 0:
        print(
            f"ssni: {n} processes; one that is silent for {heartbeat} s counts as lost (SSNI_HEARTBEAT_S).",
            file=sys.stderr,
        )
    return n


def wait_for_all(name: str) -> None:
    """Returns when every process has come to the point `name`; all must come to the same points in the same order."""
    if jax.process_count() > 1:
        barrier(f"ssni/wait/{next(_waits)}/{name}")


def _join(options: dict, failures: list[Exception]) -> None:
    try:
        jax.distributed.initialize(**options)
    except Exception as error:
        failures.append(error)


def _address(environment: Mapping[str, str]) -> dict:
    if "JAX_COORDINATOR_ADDRESS" not in environment:
        return {}  # JAX detects SLURM and TPU pods by itself
    for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"):
        if name not in environment:
            raise ValueError(f"JAX_COORDINATOR_ADDRESS is set, but {name} is not set; set all three or none.")
    return {
        "coordinator_address": environment["JAX_COORDINATOR_ADDRESS"],
        "num_processes": _whole(environment, "JAX_NUM_PROCESSES"),
        "process_id": _whole(environment, "JAX_PROCESS_ID"),
    }


def _whole(environment: Mapping[str, str], name: str) -> int:
    if not environment[name].isdecimal():
        raise ValueError(f"{name} must be a whole number, got {environment[name]!r}: correct it or unset it.")
    return int(environment[name])


def _explained(environment: Mapping[str, str], timeout_s: int) -> str:
    address = environment.get("JAX_COORDINATOR_ADDRESS", "the launcher's coordinator")
    n = environment.get("JAX_NUM_PROCESSES", environment.get("SLURM_NTASKS", "all"))
    return (
        f"Not all of the {n} processes reached {address} within {timeout_s} s;"
        " check that every process is started and that the address and port can be reached."
    )
