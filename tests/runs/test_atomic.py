"""A file is the old one or the new one."""

import errno
import json
import os

import numpy as np
import pytest

from ssni_jax.files.atomic import plain, read_json, write_arrays, write_json


def fail(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, stage):
    path = tmp_path / "run.json"
    write_json(path, {"seed": 1})
    monkeypatch.setattr(os, stage, fail)
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
    with pytest.raises(ValueError, match=r"run\.json is not JSON"):
        read_json(tmp_path / "run.json")


def test_arrays_come_back(tmp_path):
    x = np.linspace(0, 1, 12, dtype=np.float16).reshape(2, 2, 3)
    write_arrays(tmp_path / "new" / "x.npz", {"x": x})
    np.testing.assert_array_equal(np.load(tmp_path / "new" / "x.npz")["x"], x)
