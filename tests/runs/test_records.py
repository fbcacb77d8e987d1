"""Appending is all or nothing, and what is read back is complete lines, each image once."""

import errno
import json
import os

import pytest

from ssni_jax.journal.records import RecordWriter, completed_ids, merge_records, missing_ids, read_records


def write(workdir, records, process=0):
    with RecordWriter(workdir, process) as writer:
        writer.append(records)
        return writer.path


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_records_come_back_in_the_order_of_their_ids(tmp_path, record):
    write(tmp_path, [record(5), record(1)], process=1)
    write(tmp_path, [record(3)], process=0)
    assert merge_records(tmp_path) == [record(1), record(3), record(5)]
    assert completed_ids(tmp_path) == {1, 3, 5}


def test_a_batch_is_one_write_followed_by_one_fsync(tmp_path, record, monkeypatch):
    calls = []
    real_write, real_fsync = os.write, os.fsync
    with RecordWriter(tmp_path) as writer:
        monkeypatch.setattr(os, "write", lambda *a: (calls.append("write"), real_write(*a))[1])
        monkeypatch.setattr(os, "fsync", lambda *a: (calls.append("fsync"), real_fsync(*a))[1])
        writer.append([record(i) for i in range(7)])
    assert calls == ["write", "fsync"]


@pytest.mark.parametrize("failure", ["refused", "short", "unsynced"])
def test_a_full_disk_leaves_nothing_of_the_batch_and_names_file_and_remedy(tmp_path, record, monkeypatch, failure):
    real = os.write
    with RecordWriter(tmp_path) as writer:
        writer.append([record(0)])
        before = writer.path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, *{
                "refused": ("write", full_disk),
                "short": ("write", lambda file, content: real(file, content[:150])),
                "unsynced": ("fsync", full_disk),
            }[failure])  # fmt: skip
            with pytest.raises(OSError, match=r"records-0\.jsonl .*free space on its disk and run the same command"):
                writer.append([record(1), record(2)])
        assert writer.path.read_bytes() == before
        writer.append([record(1), record(2)])
    assert completed_ids(tmp_path) == {0, 1, 2}


@pytest.mark.parametrize("tail", [b'{"id": 2, "lab', b"{", b"\0\0\0\0", b'{"id": 2}'])
def test_a_half_written_last_line_is_dropped_and_cut_off_before_appending(tmp_path, record, tail):
    path = write(tmp_path, [record(0), record(1)])
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert [r["id"] for r in read_records(path)] == [0, 1]
    with RecordWriter(tmp_path):
        assert path.read_bytes() == whole
    write(tmp_path, [record(2)])
    assert completed_ids(tmp_path) == {0, 1, 2}


def test_a_file_of_half_a_line_only_holds_no_record(tmp_path, record):
    (tmp_path / "records-0.jsonl").write_bytes(b'{"id": 0')
    assert merge_records(tmp_path) == []
    write(tmp_path, [record(0)])
    assert completed_ids(tmp_path) == {0}


def test_a_damaged_line_in_the_middle_is_named(tmp_path, record):
    path = write(tmp_path, [record(0)])
    path.write_bytes(path.read_bytes() + b"nonsense\n" + json.dumps(record(2)).encode() + b"\n")
    with pytest.raises(ValueError, match=r"records-0\.jsonl line 2 is no record"):
        merge_records(tmp_path)


@pytest.mark.parametrize("processes", [(0, 0), (0, 1)])
def test_the_same_image_twice_is_refused_naming_it_and_the_files(tmp_path, record, processes):
    for process in processes:
        write(tmp_path, [record(4)], process)
    with pytest.raises(ValueError, match=rf"image 4 twice, in records-0\.jsonl and records-{processes[1]}\.jsonl"):
        merge_records(tmp_path)


def test_gaps_are_the_planned_images_without_a_record(record):
    assert missing_ids(range(6), [record(0), record(1), record(4)]) == [2, 3, 5]
    assert missing_ids([9, 7], [record(7), record(9)]) == []


def test_an_image_that_was_never_planned_is_refused(record):
    with pytest.raises(ValueError, match="Image 8 has a record but is not among the 2 planned"):
        missing_ids([0, 1], [record(0), record(8)])


def test_a_second_writer_of_the_same_file_is_refused(tmp_path, record):
    with RecordWriter(tmp_path):
        with pytest.raises(OSError, match="being written by another run"):
            RecordWriter(tmp_path)
        RecordWriter(tmp_path, process=1).close()
    RecordWriter(tmp_path).close()


def test_nan_is_stored_as_null(tmp_path, record):
    path = write(tmp_path, [record(0, clean_norm=float("nan"), valid=False)])
    assert read_records(path)[0]["clean_norm"] is None
    assert "NaN" not in path.read_text()
