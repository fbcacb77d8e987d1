"""A file has the old content or the new content, and a created file is never replaced."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ssni_jax.files.atomic import create_bytes, plain, read_json, write_arrays, write_json


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_hard_links(*_):
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, stage):
    path = tmp_path / "run.json"
    write_json(path, {"seed": 1})
    monkeypatch.setattr(os, stage, full_disk)
    with pytest.raises(OSError, match=r"run\.json .*No space.*free space on its disk and run the same command again"):
        write_json(path, {"seed": 2})
    assert read_json(path) == {"seed": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_forbidden_place_is_named_with_its_remedy(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/run\.json .*make it writable"):
        write_json(tmp_path / "file" / "run.json", {})


def test_numbers_of_numpy_become_numbers_of_json_and_nan_becomes_null(tmp_path):
    value = {"a": np.float32(0.5), 2: np.arange(3), "bad": [np.nan, float("inf")], "flag": np.bool_(True), "none": None}
    write_json(tmp_path / "x.json", value)
    stored = json.loads((tmp_path / "x.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert stored == {"a": 0.5, "2": [0, 1, 2], "bad": [None, None], "flag": True, "none": None}


def test_what_is_not_of_json_becomes_its_text():
    assert plain({"path": np.dtype("float32")}) == {"path": "float32"}


def test_a_damaged_json_file_is_named(tmp_path):
    (tmp_path / "run.json").write_text('{"seed": ')
    with pytest.raises(ValueError, match=r"run\.json is not valid JSON"):
        read_json(tmp_path / "run.json")


def test_arrays_come_back(tmp_path):
    x = np.linspace(0, 1, 12, dtype=np.float16).reshape(2, 2, 3)
    write_arrays(tmp_path / "new" / "x.npz", {"x": x})
    np.testing.assert_array_equal(np.load(tmp_path / "new" / "x.npz")["x"], x)


def test_a_file_is_created_once_and_never_replaced(tmp_path):
    path = tmp_path / "new" / "unit.jsonl"
    assert create_bytes(path, b"first")
    assert not create_bytes(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("stage", ["fsync", "link"])
def test_a_failed_creation_leaves_no_file_and_names_file_and_remedy(tmp_path, monkeypatch, stage):
    path = tmp_path / "unit.jsonl"
    monkeypatch.setattr(os, stage, full_disk)
    with pytest.raises(OSError, match=r"unit\.jsonl .*No space.*free space on its disk and run the same command again"):
        create_bytes(path, b"content")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_hard_links_creates_once_as_well(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", no_hard_links)
    test_a_file_is_created_once_and_never_replaced(tmp_path)


def test_of_several_writers_one_creates_the_file(tmp_path):
    path = tmp_path / "unit.jsonl"
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda writer: create_bytes(path, str(writer).encode()), range(40)))
    assert sum(results) == 1
    assert path.read_text() == str(results.index(True))
