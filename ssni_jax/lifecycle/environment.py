"""What the environment says of the job: how many processes it has, which one this is, when a silent one is lost."""

from collections.abc import Mapping

HEARTBEAT_S = 100


def several(environment: Mapping[str, str]) -> bool:
    """Whether the environment is that of a job with more than one process."""
    if "JAX_COORDINATOR_ADDRESS" in environment:
        return environment.get("JAX_NUM_PROCESSES") != "1"
    if "SLURM_STEP_NODELIST" in environment:
        return int(environment.get("SLURM_NTASKS", "1")) > 1
    return "," in environment.get("TPU_WORKER_HOSTNAMES", "")


def process_number(environment: Mapping[str, str]) -> int:
    """The number of this process in its job, from 0; 0 when it is alone."""
    if not several(environment):
        return 0
    if "JAX_COORDINATOR_ADDRESS" in environment:
        return int(environment.get("JAX_PROCESS_ID", "0"))
    name = "SLURM_PROCID" if "SLURM_STEP_NODELIST" in environment else "TPU_WORKER_ID"
    return int(environment.get(name, "0"))


def n_processes(environment: Mapping[str, str]) -> int:
    """The number of processes of the job."""
    if not several(environment):
        return 1
    if "JAX_COORDINATOR_ADDRESS" in environment:
        return int(environment.get("JAX_NUM_PROCESSES", "2"))
    if "SLURM_STEP_NODELIST" in environment:
        return int(environment["SLURM_NTASKS"])
    return len(environment["TPU_WORKER_HOSTNAMES"].split(","))


def heartbeat_s(environment: Mapping[str, str]) -> int:
    """Seconds of silence after which a process counts as lost: SSNI_HEARTBEAT_S, or JAX's own 100."""
    value = environment.get("SSNI_HEARTBEAT_S", str(HEARTBEAT_S))
    if not value.isdigit() or int(value) < 1:
        raise ValueError(f"SSNI_HEARTBEAT_S must be a whole number of seconds, at least 1, got {value!r}.")
    return int(value)
