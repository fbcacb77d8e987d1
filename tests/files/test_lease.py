"""A lease has one holder, and ends with it."""

import json
import os
import socket
import subprocess
import time

import pytest

from ssni_jax.files import lease as leases
from ssni_jax.files.lease import Lease, lock


@pytest.fixture
def path(tmp_path):
    return tmp_path / "leases" / "unit.json"


def held_by(path, **changes):
    """A lease file of another holder, by default of a living process of this machine."""
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "started": leases._started(os.getpid()), "token": "x"}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(owner | changes))
    return path


def dead_process():
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_lease_has_one_holder_until_it_is_released(path):
    with Lease(path) as first:
        assert first.acquire()
        assert not Lease(path).acquire()
    second = Lease(path)
    assert second.acquire()
    second.release()
    assert not path.exists()


def test_a_lease_can_be_acquired_again_after_its_release(path):
    lease = Lease(path)
    for _ in range(2):
        assert lease.acquire()
        lease.release()
    lease.release()
    assert list(path.parent.iterdir()) == []


def test_a_lease_of_a_dead_process_is_taken_over_and_nothing_else_remains(path):
    held_by(path, pid=dead_process())
    lease = Lease(path)
    assert lease.acquire()
    assert list(path.parent.iterdir()) == [path]
    lease.release()


def test_a_process_that_was_killed_and_not_waited_for_yet_is_dead(path):
    process = subprocess.Popen(["sleep", "60"])
    held_by(path, pid=process.pid, started=leases._started(process.pid))
    assert not Lease(path).acquire()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    lease = Lease(path)
    assert lease.acquire()
    lease.release()
    process.wait()


def test_a_lease_of_a_living_process_is_not_taken_over_however_old_it_is(path):
    held_by(path)
    os.utime(path, (0, 0))
    assert not Lease(path).acquire()


def test_a_process_that_reuses_the_number_of_the_holder_is_not_the_holder(path):
    held_by(path, started="long ago")
    lease = Lease(path)
    assert lease.acquire()
    lease.release()


@pytest.mark.parametrize(("age", "is_free"), [(leases.STALE_S - 30, False), (leases.STALE_S + 30, True)])
def test_a_lease_of_another_machine_is_free_when_it_was_not_touched_for_long(path, age, is_free):
    held_by(path, host="elsewhere", pid=dead_process())
    os.utime(path, (time.time() - age,) * 2)
    lease = Lease(path)
    assert lease.acquire() is is_free
    lease.release()


def test_of_two_processes_that_find_a_lease_free_one_takes_it_over(path, monkeypatch):
    held_by(path, pid=dead_process())
    first, second = Lease(path), Lease(path)
    is_free = Lease._is_free

    def overtaken(self, owner):
        """The other process takes the lease over after this one has found it free."""
        answer = is_free(self, owner)
        monkeypatch.setattr(Lease, "_is_free", is_free)
        assert first.acquire()
        return answer

    monkeypatch.setattr(Lease, "_is_free", overtaken)
    assert not second.acquire()
    assert first._is_ours()
    assert list(path.parent.iterdir()) == [path]
    first.release()


def test_a_lease_that_another_process_took_over_is_not_removed_by_its_former_holder(path):
    lease = Lease(path)
    assert lease.acquire()
    held_by(path)
    lease.release()
    assert path.exists()


def test_a_held_lease_is_touched_so_that_other_machines_see_it_held(path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", 0.01)
    with Lease(path) as lease:
        assert lease.acquire()
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 5
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.time() - path.stat().st_mtime < 60


def test_a_lock_names_its_holder_the_workdir_and_the_purpose(tmp_path):
    with lock(tmp_path / "lock", "training"):
        place = f"{tmp_path} is in use by process {os.getpid()} on {socket.gethostname()} for training"
        with pytest.raises(OSError, match=place):
            lock(tmp_path / "lock", "training")
    lock(tmp_path / "lock", "training").release()


def test_a_damaged_lease_file_is_held_by_another_process_until_it_is_old(path):
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert Lease(path).holder() == "another process"
    assert not Lease(path).acquire()
    os.utime(path, (0, 0))
    lease = Lease(path)
    assert lease.acquire()
    lease.release()
