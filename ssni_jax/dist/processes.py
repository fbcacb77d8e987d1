"""Starting and agreeing among processes; a single process needs none of it."""

import os
import threading
from collections.abc import Mapping

import jax
import numpy as np
from jax.experimental import multihost_utils

GRACE_S = 60


def start_processes(timeout_s: int = 300, environment: Mapping[str, str] = os.environ) -> int:
    """Joins this process to the others of the job and returns how many there are; without a launcher it does nothing.

    Set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or start under SLURM or on a TPU pod.
    """
    if jax.distributed.is_initialized():
        return jax.process_count()
    if not several(environment):
        return 1
    # JAX aborts the whole process at its own time-out, with a page of stack: wait beside it, and give up before it.
    options = {**_address(environment), "initialization_timeout": timeout_s + GRACE_S}
    failures: list[Exception] = []
    joining = threading.Thread(target=_join, args=(options, failures), daemon=True)
    joining.start()
    joining.join(timeout_s)
    if joining.is_alive():
        raise TimeoutError(_explained(environment, timeout_s))
    if failures:
        raise failures[0]
    return jax.process_count()


def several(environment: Mapping[str, str]) -> bool:
    """Whether the environment is that of a job with more than one process."""
    if "JAX_COORDINATOR_ADDRESS" in environment:
        return environment.get("JAX_NUM_PROCESSES") != "1"
    if "SLURM_STEP_NODELIST" in environment:
        return int(environment.get("SLURM_NTASKS", "1")) > 1
    return "," in environment.get("TPU_WORKER_HOSTNAMES", "")


def any_process(flag: bool) -> bool:
    """Whether `flag` holds on any process; every process must ask at the same point."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def _join(options: dict, failures: list[Exception]) -> None:
    try:
        jax.distributed.initialize(**options)
    except Exception as error:
        failures.append(error)


def wait_for_all(name: str) -> None:
    """Returns when every process has come to the point `name`."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def _address(environment: Mapping[str, str]) -> dict:
    if "JAX_COORDINATOR_ADDRESS" not in environment:
        return {}  # JAX detects SLURM and TPU pods by itself
    for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"):
        if name not in environment:
            raise ValueError(f"JAX_COORDINATOR_ADDRESS is set, but {name} is not set; set all three or none.")
    return {
        "coordinator_address": environment["JAX_COORDINATOR_ADDRESS"],
        "num_processes": int(environment["JAX_NUM_PROCESSES"]),
        "process_id": int(environment["JAX_PROCESS_ID"]),
    }


def _explained(environment: Mapping[str, str], timeout_s: int) -> str:
    address = environment.get("JAX_COORDINATOR_ADDRESS", "the launcher's coordinator")
    n = environment.get("JAX_NUM_PROCESSES", environment.get("SLURM_NTASKS", "all"))
    return (
        f"Not all of the {n} processes reached {address} within {timeout_s} s;"
        " check that every process is started and that the address and port can be reached."
    )
