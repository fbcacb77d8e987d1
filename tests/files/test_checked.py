"""Files that people edit and disks damage: refused by name, with the remedy."""

from typing import TypedDict

import numpy as np
import pytest

from ssni_jax.files import Lease, check_file_name, read_arrays, write_arrays
from ssni_jax.files.checked import read_checked
from ssni_jax.files.metrics import read_metrics


class Facts(TypedDict):
    n: int


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not valid JSON"),
        (b"\xff", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON .*recursion"),
        (b"9" * 5000, "is not valid JSON .*no 64-bit number"),
        (b'{"n": NaN}', "is not valid JSON .*NaN is no finite number"),
        (b'{"n": 1e999}', "is not valid JSON .*1e999 is no finite number"),
        (b"[1]", r"is damaged \(its content must be a mapping"),
        (b'{"n": "1"}', r"is damaged \(n must be a whole number, got '1'\)"),
        (b"{}", r"is damaged \(n must be a whole number, got nothing\)"),
    ],
    ids=["empty", "binary", "deep", "huge", "NaN", "infinite", "list", "text", "missing"],
)
def test_a_damaged_file_is_named_with_the_remedy(tmp_path, content, words):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"x\.json {words}.*: restore it\.$"):
        read_checked(tmp_path / "x.json", Facts, "restore it")


def test_a_whole_file_is_read(tmp_path):
    (tmp_path / "x.json").write_bytes(b'{"n": -9223372036854775, "more": 1.5}')
    assert read_checked(tmp_path / "x.json", Facts) == {"n": -9223372036854775, "more": 1.5}


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"PK", lambda b: b"x" * 99])
def test_damaged_arrays_are_named(tmp_path, damage):
    path = tmp_path / "x.npz"
    write_arrays(path, {"x": np.arange(5)})
    np.testing.assert_array_equal(read_arrays(path)["x"], np.arange(5))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"x\.npz cannot be read as an \.npz file .*: delete it"):
        read_arrays(path)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/x", "a/b", "a\\b", "a\0b", "a\nb", "x" * 300])
def test_a_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(ValueError, match="--name must be a file name"):
        check_file_name("--name", name)


@pytest.mark.parametrize("name", ["x", "cifar10-small.v2", ".hidden", "a b", "größe", "..."])
def test_a_plain_name_is_taken(name):
    assert check_file_name("--name", name) == name


LOSS = '{"step": 2, "seconds": 1, "loss": [1]}'


@pytest.mark.parametrize(
    "line", ["[1]", '{"step": "x", "seconds": 1}', '{"seconds": 1}', "{", "\xff", "", "[" * 9999, LOSS]
)
def test_a_damaged_line_of_metrics_is_named(tmp_path, line):
    whole = '{"step": 1, "seconds": 0.5, "loss": NaN}\n'
    (tmp_path / "m.jsonl").write_bytes((whole + line + "\n" + whole[:5]).encode("latin-1"))
    with pytest.raises(ValueError, match=r"m\.jsonl is damaged in line 2: delete that line"):
        read_metrics(tmp_path / "m.jsonl")


def test_a_line_of_metrics_that_was_cut_short_is_left_out(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"step": 1, "seconds": 0.5}\n{"step": 2, "sec')
    assert read_metrics(tmp_path / "m.jsonl") == [{"step": 1, "seconds": 0.5}]


@pytest.mark.parametrize("content", ["[]", "{}", '{"pid": "x", "host": 1}', "null", "[" * 9999])
def test_a_lease_whose_owner_cannot_be_read_is_held_by_another_process(tmp_path, content):
    (tmp_path / "lease").write_text(content)
    lease = Lease(tmp_path / "lease")
    assert lease.holder() == "another process" and not lease.acquire()
