import os
import socket
import subprocess
import sys
import textwrap

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
