"""Which sources are decoded in worker processes, how much of them at a time, and what a worker answers."""

import io
import pickle
from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import pytest

from ssni_jax.data import ImageFolder, take, workers, write_image
from ssni_jax.data.encoded import decoded_part


class Own(ImageFolder):
    """A class that a fresh interpreter cannot import."""


@pytest.fixture
def folder(tmp_path):
    for i in range(9):
        write_image(tmp_path / f"{i}.png", np.full((6, 5, 3), i / 9))
    return ImageFolder(str(tmp_path), labels="name")


@pytest.fixture
def asked(monkeypatch):
    """Two workers that answer at once, inside this process; notes what they are asked for."""
    requests = []

    def submit(function, request):
        requests.append(request[1])
        future = Future()
        future.set_result(decoded_part(*pickle.loads(pickle.dumps(request))))
        return future

    monkeypatch.setattr(workers, "pool", lambda n: SimpleNamespace(submit=submit))
    monkeypatch.setattr(workers, "WORTH_PIXELS", 1)
    monkeypatch.setenv("SSNI_DECODERS", "2")
    return requests


def test_rows_are_the_same_as_without_workers(folder, asked, monkeypatch):
    ids = [8, 0, 3, 4, 5, 5, 1, 2, 7]
    parts = take(folder, ids)
    assert asked == [[8, 0, 3, 4, 5], [5, 1, 2, 7]]
    monkeypatch.setenv("SSNI_DECODERS", "0")
    for name, rows in take(folder, ids).items():
        np.testing.assert_array_equal(rows, parts[name])
    assert len(asked) == 2


def test_parts_are_bounded_in_bytes_and_in_number(folder, asked, monkeypatch):
    monkeypatch.setattr(workers, "PART_BYTES", 200)  # two images of 90 bytes
    parts = workers.decoded_parts(folder, np.arange(9))
    assert next(parts)[0] == 0 and asked == [[0, 1], [2, 3], [4, 5], [6, 7]]  # two per worker
    assert [start for start, *_ in parts] == [2, 4, 6, 8] and asked[4:] == [[8]]
    assert workers.part_size((224, 224, 3), 1024, 4) * 224 * 224 * 3 <= 2**22
    assert workers.part_size((4096, 4096, 3), 8, 4) == 1


def test_small_sources_and_few_rows_start_no_process(folder, monkeypatch):
    monkeypatch.setenv("SSNI_DECODERS", "4")
    assert not workers.are_worth_it(folder, 9)
    monkeypatch.setattr(workers, "WORTH_PIXELS", 9 * 6 * 5)
    assert workers.are_worth_it(folder, 9) and not workers.are_worth_it(folder, 7)
    assert not workers.are_worth_it(Own(folder.path, labels="name"), 9)


def test_the_number_of_workers_follows_from_the_cores(monkeypatch):
    for cores, expected in ((1, 0), (2, 2), (64, 16)):
        monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _, n=cores: set(range(n)), raising=False)
        assert workers.n_workers({}) == expected
    assert workers.n_workers({"SSNI_DECODERS": "3"}) == 3
    with pytest.raises(ValueError, match="SSNI_DECODERS must be a whole number of processes, 0 for none, got 'two'"):
        workers.n_workers({"SSNI_DECODERS": "two"})


def test_images_of_several_sizes_are_named_with_the_remedy(folder, tmp_path):
    write_image(tmp_path / "9.png", np.zeros((6, 6, 3)))
    other = ImageFolder(str(tmp_path) + "/", labels="name")
    with pytest.raises(
        ValueError, match=r"image 9 has shape \(6, 6, 3\) and image 0 \(6, 5, 3\); give the source a size"
    ):
        decoded_part(other, [8, 9])


def test_a_worker_that_ended_is_named_with_a_remedy(monkeypatch):
    dead = SimpleNamespace(stdin=io.BytesIO(), stdout=io.BytesIO(), wait=lambda: -9)
    monkeypatch.setattr(workers.subprocess, "Popen", lambda *_, **__: dead)
    with pytest.raises(OSError, match="ended with exit code -9, perhaps for lack of memory: set SSNI_DECODERS to a"):
        workers.Worker().ask(("source", [0]))


@pytest.mark.slow
def test_real_workers_give_the_same_rows_and_errors_and_end_with_the_process(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "WORTH_PIXELS", 1)
    expected = take(folder, range(9))
    monkeypatch.setenv("SSNI_DECODERS", "2")
    for name, rows in take(folder, range(9)).items():
        np.testing.assert_array_equal(rows, expected[name])
    (tmp_path / "4.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"4\.png cannot be read as an image .*: give a whole PNG"):
        folder.rows(np.arange(9))
    worker = workers.Worker()
    assert worker.process.stdin is not None
    worker.process.stdin.close()  # as the end of this process does
    assert worker.process.wait(60) == 0
