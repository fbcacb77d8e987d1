"""Paths on stores: fsspec's memory, which creates exclusively, and its local files, which do not."""

import json
import os
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from ssni_jax.files import lease as leases
from ssni_jax.files.atomic import create_bytes, read_arrays, read_json, write_arrays, write_json
from ssni_jax.files.remote import RemotePath, as_path
from ssni_jax.files.store_lease import StoreLease, lease_of
from tests.files.test_lease import dead_process


@pytest.fixture(params=["memory", "file"])
def folder(request, tmp_path):
    path = as_path(f"memory://{tmp_path.name}" if request.param == "memory" else f"file://{tmp_path}")
    yield path
    if path.is_dir():
        path.store.rm(str(path), recursive=True)


@pytest.fixture
def memory(tmp_path):
    path = as_path(f"memory://{tmp_path.name}")
    yield path
    if path.is_dir():
        path.store.rm(str(path), recursive=True)


@pytest.mark.parametrize("url", ["gs://bucket/runs/a", "s3://bucket/x", "memory://w", "GS:/bucket/runs"])
def test_the_url_of_a_store_is_a_path_that_stays_one(url):
    path = as_path(url)
    assert isinstance(path, RemotePath) and str(path).startswith(url[:2].lower())
    assert str(path / "units" / "a.jsonl").endswith("/units/a.jsonl") and "://" in str((path / "x").parent)
    assert as_path(str(path)) == path == as_path(path)
    assert os.fspath(path.with_name("b")).endswith("/b") and type(path.parent) is RemotePath


@pytest.mark.parametrize("text", ["runs/x", "/tmp/gs:/x", "a:b", "C:/x", "https://host/x"])
def test_any_other_text_is_a_local_path(text):
    assert type(as_path(text)) is type(Path())


def test_what_is_written_is_read_listed_and_removed(folder):
    write_json(folder / "run.json", {"seed": 1})
    write_arrays(folder / "adversarial" / "a.npz", {"id": np.arange(3)})
    write_json(folder / "cells" / "one" / "experiment.json", {})
    assert read_json(folder / "run.json") == {"seed": 1}
    np.testing.assert_array_equal(read_arrays(folder / "adversarial" / "a.npz")["id"], np.arange(3))
    assert [path.name for path in (folder / "adversarial").glob("*.npz")] == ["a.npz"]
    assert list(folder.glob("cells/*/experiment.json")) == [folder / "cells" / "one" / "experiment.json"]
    assert list((folder / "nothing").glob("*")) == [] and not (folder / "nothing").is_dir()
    assert folder.is_dir() and (folder / "run.json").is_file() and not (folder / "run.json").is_dir()
    (folder / "run.json").unlink()
    (folder / "run.json").unlink(missing_ok=True)
    assert not (folder / "run.json").exists()


def test_a_missing_file_is_missing_as_on_a_disk(folder):
    for look in (lambda path: path.read_bytes(), lambda path: path.unlink(), lambda path: path.age(0.0)):
        with pytest.raises(FileNotFoundError):
            look(folder / "no" / "file")


def test_a_file_is_created_once_where_the_store_can_tell(folder):
    assert create_bytes(folder / "unit.jsonl", b"first")
    assert not create_bytes(folder / "unit.jsonl", b"second")
    assert (folder / "unit.jsonl").read_bytes() == b"first"
    assert folder.is_created_once() is (folder.store.protocol == "memory")
    assert [path.name for path in folder.iterdir()] == ["unit.jsonl"]


def test_a_store_that_ignores_the_condition_creates_nothing_once(memory, monkeypatch):
    pipe = type(memory.store).pipe_file

    def ignoring(self, path, value, mode="overwrite", **kwargs):
        pipe(self, path, value)

    monkeypatch.setattr(type(memory.store), "pipe_file", ignoring)
    assert memory.is_exclusive and not memory.is_created_once()


def test_a_store_that_fails_is_named_with_the_remedy(memory, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("503\nservice unavailable")

    monkeypatch.setattr(type(memory.store), "pipe_file", fails)
    with pytest.raises(ConnectionError, match=r"memory://.*/x could not be reached \(RuntimeError: 503 service unav"):
        (memory / "x").write_bytes(b"")


def test_a_store_without_its_package_names_it():
    pytest.importorskip("fsspec")
    with pytest.raises(ValueError, match="az:// needs a package that is not installed: pip install adlfs"):
        as_path("az://container/x").exists()


@pytest.fixture
def path(memory):
    return memory / "leases" / "unit.json"


def held_by(path, age=0.0, number=0, **changes):
    """A lease file of another holder, by default of a living process of this machine."""
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "started": leases._started(os.getpid()), "token": "x"}
    path.with_name(f"{path.name}.{number}").write_bytes(json.dumps(owner | changes).encode())
    return owner | changes


def names(path):
    return sorted(file.name for file in path.parent.iterdir())


def test_a_lease_on_a_store_has_one_holder_until_it_is_released(path):
    assert isinstance(lease_of(path), StoreLease)
    with lease_of(path) as first:
        assert first.acquire()
        assert not lease_of(path).acquire()
        assert lease_of(path).holder() == f"process {os.getpid()} on {socket.gethostname()}"
    assert names(path) == []
    second = lease_of(path)
    assert second.acquire()
    second.release()


@pytest.mark.parametrize(("later", "is_free"), [(0, False), (leases.STALE_S + 30, True)])
def test_a_lease_of_another_machine_is_taken_over_by_adding_one_and_removed_with_it(path, later, is_free, monkeypatch):
    held_by(path, host="elsewhere")
    now = time.time()
    monkeypatch.setattr("ssni_jax.files.store_lease.time.time", lambda: now + later)
    lease = lease_of(path)
    assert lease.acquire() is is_free
    assert names(path) == (["unit.json.0", "unit.json.1"] if is_free else ["unit.json.0"])
    lease.release()
    assert names(path) == ([] if is_free else ["unit.json.0"])


def test_a_dead_process_of_this_machine_is_followed_at_once_and_a_living_one_never(path):
    held_by(path, pid=dead_process())
    lease = lease_of(path)
    assert lease.acquire()
    assert not lease_of(path).acquire()
    lease.release()


def test_a_holder_that_was_followed_leaves_the_lease_of_its_follower_alone(path):
    first = lease_of(path)
    assert first.acquire()
    held_by(path, number=1, host="elsewhere")
    first.release()
    assert names(path) == ["unit.json.1"]
    assert not lease_of(path).acquire()


def test_of_two_that_found_a_lease_free_one_follows(path, monkeypatch):
    held_by(path, pid=dead_process())
    first, second = lease_of(path), lease_of(path)
    is_free = StoreLease._is_free

    def overtaken(self, last):
        """The other process follows after this one has found the lease free."""
        answer = is_free(self, last)
        monkeypatch.setattr(StoreLease, "_is_free", is_free)
        assert first.acquire()
        return answer

    monkeypatch.setattr(StoreLease, "_is_free", overtaken)
    assert not second.acquire()
    first.release()
    assert names(path) == []


def test_a_held_lease_is_written_again_so_that_others_see_it_held(path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", 0.01)
    with lease_of(path) as lease:
        assert lease.acquire()
        own = path.with_name("unit.json.0")
        before, deadline = own.store.modified(str(own)), time.monotonic() + 5
        while own.store.modified(str(own)) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert own.store.modified(str(own)) > before
