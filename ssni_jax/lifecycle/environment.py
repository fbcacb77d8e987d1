"""What the environment says of the job: how many processes it has, which one this is, when a silent one is lost."""

from collections.abc import Mapping
from typing import NamedTuple

from ssni_jax.lifecycle.tpu import workers_of_this_vm

HEARTBEAT_S = 100
SINGLE = "SSNI_ALONE"
"""Set to anything, it makes a process that joins no other, whatever else the environment says."""


class Membership(NamedTuple):
    """The place of a process in a job: what started the job, the number of the process, and how many there are.

    `n` is None where only joining tells, as in a Kubernetes Job.
    """

    kind: str
    number: int
    n: int | None


def membership(environment: Mapping[str, str]) -> Membership | None:
    """The place of this process in a job of several; None for a process that is alone.

    Looks in the order in which JAX does. The metadata server is asked on a machine with TPU chips only.
    """
    if environment.get(SINGLE):
        return None
    place = _by_address(environment) or scheduled(environment)
    return None if place is None or place.n == 1 else place


def scheduled(environment: Mapping[str, str]) -> Membership | None:
    """The place that a scheduler gives to this process, also in a job of one; None where there is no scheduler."""
    place = _mpi(environment, "openmpi", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK")
    place = place or _slurm(environment) or _mpi(environment, "mpi", "PMI_SIZE", "PMI_RANK")
    if place is not None:
        return place
    pods = _tpu(environment), _kubernetes(environment)
    return next((place for place in pods if place is not None and place.n != 1), None)


def several(environment: Mapping[str, str]) -> bool:
    """Whether the environment is that of a job with more than one process, or of a pod that may be one of several."""
    return membership(environment) is not None


def process_number(environment: Mapping[str, str]) -> int:
    """The number of this process in its job, from 0; 0 when it is alone."""
    place = membership(environment)
    return 0 if place is None else place.number


def n_processes(environment: Mapping[str, str]) -> int | None:
    """The number of processes of the job; None where only joining tells."""
    place = membership(environment)
    return 1 if place is None else place.n


def heartbeat_s(environment: Mapping[str, str]) -> int:
    """Seconds of silence after which a process counts as lost: SSNI_HEARTBEAT_S, or JAX's own 100."""
    value = environment.get("SSNI_HEARTBEAT_S", str(HEARTBEAT_S))
    if not value.isdigit() or int(value) < 1:
        raise ValueError(f"SSNI_HEARTBEAT_S must be a whole number of seconds, at least 1, got {value!r}.")
    return int(value)


def _by_address(environment: Mapping[str, str]) -> Membership | None:
    """By JAX_COORDINATOR_ADDRESS; a scheduler may fill in what is not set beside it."""
    if "JAX_COORDINATOR_ADDRESS" not in environment:
        return None
    place = scheduled(environment) or Membership("address", 0, None)
    number = _whole(environment.get("JAX_PROCESS_ID"), place.number)
    return Membership("address", number or 0, _whole(environment.get("JAX_NUM_PROCESSES"), place.n))


def _slurm(environment: Mapping[str, str]) -> Membership | None:
    if "SLURM_STEP_NODELIST" not in environment:  # the batch script itself runs once, outside of any step
        return None
    number = _whole(environment.get("SLURM_PROCID"), 0)
    return Membership("slurm", number or 0, _whole(environment.get("SLURM_NTASKS"), 1))


def _mpi(environment: Mapping[str, str], kind: str, size: str, rank: str) -> Membership | None:
    if size not in environment:
        return None
    return Membership(kind, _whole(environment.get(rank), 0) or 0, _whole(environment[size], 1))


def _tpu(environment: Mapping[str, str]) -> Membership | None:
    """Workers of a slice times slices: by environment on Kubernetes, by the metadata server on a Cloud TPU VM."""
    hosts = environment.get("TPU_PROCESS_ADDRESSES") or environment.get("TPU_WORKER_HOSTNAMES")
    if hosts:
        n_workers, number, about = len(hosts.split(",")), _whole(environment.get("TPU_WORKER_ID"), 0), environment
    elif "TPU_SKIP_MDS_QUERY" in environment or (vm := workers_of_this_vm()) is None:
        return None
    else:
        n_workers, number, about = vm.n, vm.number, {**vm.about, **environment}
    n_slices = _whole(about.get("MEGASCALE_NUM_SLICES"), 1) or 1
    slice_number = _whole(about.get("MEGASCALE_SLICE_ID"), 0) or 0
    return Membership("tpu", (number or 0) + slice_number * n_workers, n_workers * n_slices)


def _kubernetes(environment: Mapping[str, str]) -> Membership | None:
    """A pod of an indexed Job, as those of a JobSet are; how many run beside it, only the API server knows."""
    if "KUBERNETES_SERVICE_HOST" not in environment or "JOB_COMPLETION_INDEX" not in environment:
        return None
    return Membership("kubernetes", _whole(environment["JOB_COMPLETION_INDEX"], 0) or 0, None)


def _whole(text: str | None, otherwise: int | None) -> int | None:
    """The number; what is none is refused where the process joins the others."""
    return int(text) if text is not None and text.isdecimal() else otherwise
