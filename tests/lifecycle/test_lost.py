"""What JAX reports when a process is gone, and what users read; and the pipe between them."""

import os

import pytest

from ssni_jax.lifecycle import heartbeat_s, n_processes, process_number
from ssni_jax.lifecycle.lost import missing_processes, sentence, speaks
from ssni_jax.lifecycle.relay import Relay

UNHEALTHY = """E1125 17:29:23.991800    4647 coordination_service.cc:1549] [1086] Use error polling to propagate the \
following error to all tasks: UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):
{names}
The tasks have crashed. Check the task logs for an earlier error, or scheduler events to debug further.
F1125 17:29:23.992573    4658 client.h:80] Terminating process because the JAX distributed service detected fatal \
errors. This most likely indicates that another task died. absl::Status: UNAVAILABLE: The following tasks are \
unhealthy (stopped sending heartbeats):
{names}
The tasks have crashed. Check the task logs for an earlier error, or scheduler events to debug further.

RPC: /xla.coordination.CoordinationService/PollForError [type.googleapis.com/tensorflow.CoordinationServiceError='']
*** Check failure stack trace: ***
    @     0x7f103ce40634  absl::lts_20260107::log_internal::LogMessage::SendToLog()
"""
LEADER = """F1125 17:30:08.059267    5028 client.h:80] Terminating process because the JAX distributed service \
detected fatal errors. absl::Status: UNAVAILABLE: Failed to send RPC to coordination service. Either the leader task \
was preempted/died/restarted unexpectedly or this task is experiencing network issues.
Additional GRPC error information from remote target coordination_service:
:UNKNOWN:Error received from peer  {grpc_status:14, grpc_message:"Socket closed"}
"""
BARRIER = """DEADLINE_EXCEEDED: Barrier timed out. Id: x::0. This usually happens because a task triggered the barrier.
# of tasks that reached the barrier: 1/3.
The first task at the barrier: 0. Some timed out task names:
1
2


RPC: /xla.coordination.CoordinationService/Barrier [type.googleapis.com/tensorflow.CoordinationServiceError='']"""
SLICES = {"MEGASCALE_NUM_SLICES": "3", "MEGASCALE_SLICE_ID": "2"}
JOB = {"JAX_COORDINATOR_ADDRESS": "host:1", "JAX_NUM_PROCESSES": "8", "JAX_PROCESS_ID": "0"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (UNHEALTHY.format(names="1"), [1]),
        (UNHEALTHY.format(names="12\n3"), [3, 12]),
        (UNHEALTHY.format(names="/job:jax_worker/replica:0/task:3"), [3]),
        (UNHEALTHY.format(names="/job:jax_worker/replica:0/task:3\n/job:jax_worker/replica:0/task:11"), [3, 11]),
        (LEADER, [0]),
        (BARRIER, [1, 2]),
        ("Segmentation fault", []),
    ],
)
def test_the_missing_processes_are_read_from_every_report(text, expected):
    assert missing_processes(text) == expected


def test_the_sentence_names_them():
    assert (
        sentence([], JOB) == "ssni: another process of the 8 no longer answers; run the same command again to resume."
    )
    assert "process 3 of 8 no longer answers" in sentence([3], JOB)
    assert "processes 1, 3 and 4 of 8 no longer answer;" in sentence([1, 3, 4], JOB)


def test_a_pod_that_does_not_know_how_many_there_are_says_so_as_well():
    pods = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"}
    assert "another process of the job no longer answers" in sentence([], pods)
    assert "process 3 of the job no longer answers" in sentence([3], pods)
    assert speaks([0], pods) and not speaks([3], pods)


def test_the_lowest_process_that_is_left_says_so():
    ones = [speaks([0, 1], {**JOB, "JAX_PROCESS_ID": str(i)}) for i in range(2, 8)]
    assert ones == [True, False, False, False, False, False]
    assert all(speaks([], {**JOB, "JAX_PROCESS_ID": str(i)}) for i in range(8))


@pytest.mark.parametrize(
    ("environment", "number", "n"),
    [
        ({}, 0, 1),
        ({**JOB, "JAX_PROCESS_ID": "5"}, 5, 8),
        ({"SLURM_STEP_NODELIST": "a,b", "SLURM_NTASKS": "16", "SLURM_PROCID": "9"}, 9, 16),
        ({"SLURM_STEP_NODELIST": "a", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, 0, 1),
        ({"TPU_WORKER_HOSTNAMES": "a,b,c", "TPU_WORKER_ID": "2"}, 2, 3),
        ({"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "1", **SLICES}, 5, 6),
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3", "SLURM_NTASKS": "1"}, 3, 4),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "7"}, 7, None),
    ],
)
def test_a_process_knows_its_number_before_jax_is_imported(environment, number, n):
    assert (process_number(environment), n_processes(environment)) == (number, n)


def test_the_heartbeat_is_checked():
    assert heartbeat_s({}) == 100 and heartbeat_s({"SSNI_HEARTBEAT_S": "40"}) == 40
    for value in ("0", "-1", "1.5", "soon", ""):
        with pytest.raises(ValueError, match="must be a whole number of seconds, at least 1"):
            heartbeat_s({"SSNI_HEARTBEAT_S": value})


def relayed(capfdbinary, content, shows_all=False):
    """The relay after it has read `content`, and what it passed on."""
    read_end, write_end = os.pipe()
    os.write(write_end, content)
    os.close(write_end)
    relay = Relay(read_end, shows_all)
    relay.run()
    os.close(read_end)
    return relay, capfdbinary.readouterr().err


def test_ordinary_lines_and_other_logs_pass_as_they_are(capfdbinary):
    content = b"one\ntwo\rthree\nE1125 17:51:11.783680   13113 slow_operation_alarm.cc:73] \nslow\nno end of line"
    relay, shown = relayed(capfdbinary, content)
    assert shown == content and not relay.is_of_lost_peer()


def test_a_report_of_a_lost_peer_is_held_back_and_understood(capfdbinary):
    relay, shown = relayed(capfdbinary, b"before\n" + UNHEALTHY.format(names="1").encode())
    assert shown == b"before\n"
    assert relay.is_of_lost_peer() and missing_processes(relay.report()) == [1]
    relay.release()
    assert capfdbinary.readouterr().err.startswith(b"E1125")


def test_everything_is_shown_when_asked_for(capfdbinary):
    content = UNHEALTHY.format(names="1").encode()
    relay, shown = relayed(capfdbinary, content, shows_all=True)
    assert shown == content and relay.is_of_lost_peer()
