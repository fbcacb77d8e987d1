"""Joining the processes of a job; a single process needs none of it."""

import itertools
import os
import sys
import threading
import warnings
from collections.abc import Mapping

import jax

from ssni_jax.dist.service import barrier
from ssni_jax.lifecycle import SINGLE, heartbeat_s, membership, n_processes
from ssni_jax.lifecycle.environment import Membership, scheduled

GRACE_S = 60
UNDETECTED = "coordinator_address should be defined"  # in JAX's error where no launcher of its list is there
BY_ADDRESS = "set JAX_COORDINATOR_ADDRESS to host:port of process 0 for all processes"
NAMES = {
    "address": "JAX_COORDINATOR_ADDRESS",
    "openmpi": "Open MPI",
    "slurm": "Slurm",
    "mpi": "MPI",
    "tpu": "a TPU slice",
    "kubernetes": "an indexed Job of Kubernetes",
}
REMEDIES = {
    "address": "check the three JAX_ variables",
    "openmpi": BY_ADDRESS,
    "slurm": "start it with srun",
    "mpi": BY_ADDRESS,
    "tpu": "install JAX for TPUs with pip install 'jax[tpu]'",
    "kubernetes": "pip install 'jax[k8s]', with a service account that may read pods, jobs and services",
}
_waits = itertools.count()


def start_processes(timeout_s: int = 300, environment: Mapping[str, str] = os.environ) -> int:
    """Joins this process to the others of the job and returns how many there are; without a launcher it does nothing.

    Set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or start under Slurm or Open MPI, in an indexed
    Job or JobSet of Kubernetes, or on a TPU slice, where JAX asks the scheduler. A process that belongs to a job and
    cannot join it is refused, so that no job does its work once per process; SSNI_ALONE=1 says that it shall be alone.
    SSNI_HEARTBEAT_S sets the seconds of silence after which a process counts as lost.
    """
    if jax.distributed.is_initialized():
        return jax.process_count()
    place = membership(environment)
    if place is None:
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
        raise refused(place, failures[0])
    n = jax.process_count()
    if n == 1 and place.number > 0:
        raise refused(place, None)
    if jax.process_index() == 0 and n > 1:
        print(
            f"ssni: {n} processes; one that is silent for {heartbeat} s counts as lost (SSNI_HEARTBEAT_S).",
            file=sys.stderr,
        )
    return n


def wait_for_all(name: str) -> None:
    """Returns when every process has come to the point `name`; all must come to the same points in the same order."""
    if jax.process_count() > 1:
        barrier(f"ssni/wait/{next(_waits)}/{name}")


def refused(place: Membership, error: Exception | None) -> ValueError:
    """Why a process that belongs to a job could not join it, in one sentence with the remedy."""
    known = "" if place.n is None else f" of {place.n}"
    cause = "JAX sees one process only" if error is None else " ".join(str(error).split()).rstrip(".")
    if UNDETECTED in cause:
        cause = "JAX does not recognise the launcher"
    return ValueError(
        f"this is process {place.number}{known} of a job ({NAMES[place.kind]}), and it cannot join the others ({cause}): "
        f"{REMEDIES[place.kind]}, pass --shard i/n or --lease for processes that share no devices, or set {SINGLE}=1 for "
        "a single process."
    )


def _join(options: dict, failures: list[Exception]) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # JAX's advice about a missing package is in the refusal
            jax.distributed.initialize(**options)
    except Exception as error:
        failures.append(error)


def _address(environment: Mapping[str, str]) -> dict:
    if "JAX_COORDINATOR_ADDRESS" not in environment:
        return {}  # JAX asks the scheduler
    place = scheduled(environment)
    for name, known in (("JAX_NUM_PROCESSES", place and place.n), ("JAX_PROCESS_ID", place and place.number)):
        if name not in environment and known is None:
            raise ValueError(f"JAX_COORDINATOR_ADDRESS is set, but {name} is not set; set all three or none.")
    return {
        "coordinator_address": environment["JAX_COORDINATOR_ADDRESS"],
        "num_processes": _whole(environment, "JAX_NUM_PROCESSES", place and place.n),
        "process_id": _whole(environment, "JAX_PROCESS_ID", place and place.number),
    }


def _whole(environment: Mapping[str, str], name: str, otherwise: int | None) -> int:
    if name not in environment and otherwise is not None:
        return otherwise
    if not environment[name].isdecimal():
        raise ValueError(f"{name} must be a whole number, got {environment[name]!r}: correct it or unset it.")
    return int(environment[name])


def _explained(environment: Mapping[str, str], timeout_s: int) -> str:
    address = environment.get("JAX_COORDINATOR_ADDRESS", "the launcher's coordinator")
    n = n_processes(environment) or "job's"
    return (
        f"Not all of the {n} processes reached {address} within {timeout_s} s;"
        " check that every process is started and that the address and port can be reached,"
        f" or set {SINGLE}=1 for a single process."
    )
