import os
import socket
import subprocess
import sys
import textwrap

import jax
import pytest

from ssni_jax.dist import start_processes
from ssni_jax.lifecycle import several


def test_a_single_process_needs_nothing():
    assert start_processes(environment={}) == 1


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"JAX_COORDINATOR_ADDRESS": "host:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "0"}, True),
        ({"JAX_COORDINATOR_ADDRESS": "host:1", "JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"}, False),
        ({"SLURM_STEP_NODELIST": "a,b", "SLURM_NTASKS": "2"}, True),
        ({"SLURM_STEP_NODELIST": "a", "SLURM_NTASKS": "1"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a", "MEGASCALE_NUM_SLICES": "4", "MEGASCALE_SLICE_ID": "0"}, True),
        ({"TPU_PROCESS_ADDRESSES": "a:1,b:1"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "0"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}, False),
        ({"PMI_SIZE": "4", "PMI_RANK": "0"}, True),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, False),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}, True),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0", "TPU_WORKER_HOSTNAMES": "a"}, True),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8"}, False),
        ({"SLURM_STEP_NODELIST": "a,b", "SLURM_NTASKS": "2", "SSNI_ALONE": "1"}, False),
    ],
)
def test_only_a_job_of_several_processes_is_joined(environment, expected):
    assert several(environment) == expected


@pytest.mark.parametrize("missing", ["JAX_NUM_PROCESSES", "JAX_PROCESS_ID"])
def test_a_half_described_job_is_refused(missing):
    environment = {"JAX_COORDINATOR_ADDRESS": "host:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "0"}
    del environment[missing]
    with pytest.raises(ValueError, match=f"{missing} is not set"):
        start_processes(environment=environment)


@pytest.mark.parametrize(("name", "value"), [("JAX_NUM_PROCESSES", "two"), ("JAX_PROCESS_ID", ""), ("JAX_PROCESS_ID", "-1")])
def test_a_number_of_the_job_that_is_none_is_named(name, value):
    environment = {"JAX_COORDINATOR_ADDRESS": "host:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "0", name: value}
    with pytest.raises(ValueError, match=f"{name} must be a whole number, got {value!r}: correct it"):
        start_processes(environment=environment)


def initialized(monkeypatch, environment, failure=None, n=1):
    """The options with which JAX was asked to join, and the refusal if there was one."""
    asked = {}

    def initialize(**options):
        asked.update(options)
        if failure is not None:
            raise failure

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    monkeypatch.setattr(jax, "process_count", lambda: n)
    try:
        start_processes(environment=environment)
    except ValueError as error:
        return asked, str(error)
    return asked, None


PODS = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "3"}


def test_a_scheduler_fills_in_what_the_address_leaves_open(monkeypatch):
    environment = {"JAX_COORDINATOR_ADDRESS": "a:1", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2"}
    asked, _ = initialized(monkeypatch, environment, n=4)
    assert (asked["coordinator_address"], asked["num_processes"], asked["process_id"]) == ("a:1", 4, 2)


def test_without_an_address_jax_asks_the_scheduler(monkeypatch):
    asked, refusal = initialized(monkeypatch, PODS, n=4)
    assert refusal is None and not {"coordinator_address", "num_processes", "process_id"} & asked.keys()


@pytest.mark.parametrize(
    ("environment", "remedy"),
    [
        (PODS, "pip install 'jax[k8s]'"),
        ({"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "1"}, "pip install 'jax[tpu]'"),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, "set JAX_COORDINATOR_ADDRESS"),
    ],
)
def test_a_process_of_a_job_that_cannot_join_is_refused_with_the_remedy(monkeypatch, environment, remedy):
    _, refusal = initialized(monkeypatch, environment, ValueError("coordinator_address should be defined."))
    assert remedy in refusal and "JAX does not recognise the launcher" in refusal and "SSNI_ALONE=1" in refusal


def test_what_a_scheduler_says_over_several_lines_is_one_sentence(monkeypatch):
    error = RuntimeError("Pods within a job need a headless\nservice:\n```\nkind: Job\n```")
    _, refusal = initialized(monkeypatch, PODS, error)
    assert "need a headless service" in refusal and "\n" not in refusal


def test_a_later_pod_for_which_jax_sees_no_other_does_not_repeat_the_work(monkeypatch):
    _, refusal = initialized(monkeypatch, PODS, n=1)
    assert "process 3 of a job" in refusal and "JAX sees one process only" in refusal
    assert initialized(monkeypatch, PODS | {"JOB_COMPLETION_INDEX": "0"}, n=1)[1] is None


SCRIPT = """
    import jax, numpy as np
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 4)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    from ssni_jax.data import Digits, training_batches
    from ssni_jax.dist import agree, global_rows, make_mesh, on_every_host, start_processes
    try:
        n = start_processes(timeout_s=TIMEOUT)
    except TimeoutError as error:
        raise SystemExit(str(error))
    batch = next(training_batches(Digits(), 16, 0, jax.process_index(), n))
    everything = on_every_host(global_rows(make_mesh(), {"id": batch["id"]}))["id"]
    expected = next(training_batches(Digits(), 16))["id"]
    print(n, jax.device_count(), np.array_equal(everything, expected), agree(None, [None, 15][jax.process_index()]))
"""


def launch(process_id, port, timeout_s):
    environment = {
        **os.environ,
        "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
        "JAX_NUM_PROCESSES": "2",
        "JAX_PROCESS_ID": str(process_id),
    }
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT).replace("TIMEOUT", str(timeout_s))]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


@pytest.mark.slow
def test_two_processes_hold_one_global_batch(port):
    processes = [launch(i, port, 60) for i in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert "2 8 True 15" in out, err


@pytest.mark.slow
def test_a_missing_process_is_said_in_one_sentence(port):
    process = launch(1, port, 2)
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "Not all of the 2 processes reached localhost" in err
