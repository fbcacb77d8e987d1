"""A unit is created once, as a whole, and belongs to one experiment."""

import errno
import json
import os

import pytest

from ssni_jax.journal import units
from ssni_jax.journal.units import Journal, has_units, read_unit

CURVE = {"loss": [0.5], "broken": [0.0]}
RECORDS = [{"id": 0, "norm": 3.5}, {"id": 1, "norm": 4.5}]


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path, "abc")


def path_of(journal, name="evaluated-00000000"):
    return journal.workdir / "units" / f"{name}.jsonl"


def write(journal, name="evaluated-00000000", records=RECORDS, **header):
    return journal.write(name, {"stage": "measured", **header}, records)


def test_a_unit_comes_back_with_its_header_and_every_line_names_the_experiment(journal):
    assert write(journal, curve=CURVE)
    (unit,) = journal.units()
    expected = {"unit": "evaluated-00000000", "n_records": 2, "stage": "measured", "curve": CURVE}
    assert unit.header == expected | {"experiment": "abc", "digest": unit.header["digest"]}
    assert unit.records == [record | {"experiment": "abc"} for record in RECORDS]
    assert unit.path == path_of(journal)


def test_units_come_in_the_order_of_their_names_and_later_ones_are_seen(journal):
    assert not has_units(journal.workdir)
    for name in ("b", "a"):
        write(journal, name)
    assert [unit.header["unit"] for unit in journal.units()] == ["a", "b"]
    write(Journal(journal.workdir, "abc"), "c")
    assert [unit.header["unit"] for unit in journal.units()] == ["a", "b", "c"]
    assert has_units(journal.workdir)


def test_a_second_writer_gets_false_and_changes_nothing(journal):
    write(journal)
    before = path_of(journal).read_bytes()
    assert not write(Journal(journal.workdir, "abc"), records=RECORDS[:1])
    assert path_of(journal).read_bytes() == before
    assert len(list(path_of(journal).parent.iterdir())) == 1


def test_every_unit_is_read_once(journal, monkeypatch):
    reads = []
    monkeypatch.setattr(units, "read_unit", lambda path: (reads.append(path.stem), read_unit(path))[1])
    for name in ("a", "b"):
        write(journal, name)
        journal.units()
    assert reads == ["a", "b"]


def test_a_unit_of_another_experiment_is_refused_by_name(journal):
    write(Journal(journal.workdir, "def"))
    with pytest.raises(ValueError, match=r"evaluated-00000000\.jsonl belongs to experiment def, but .* of abc: move"):
        journal.units()


def test_one_foreign_record_in_a_unit_is_refused(journal):
    write(journal)
    lines = path_of(journal).read_text().splitlines()
    header = {name: value for name, value in json.loads(lines[0]).items() if name != "digest"}
    path_of(journal).write_text("\n".join([json.dumps(header), lines[1], lines[2].replace("abc", "def")]))
    with pytest.raises(ValueError, match="belongs to experiment def"):
        journal.units()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[: content.rindex(b"\n", 0, -1) + 1],
        lambda content: content.replace(b"norm", b"\0\0\0\0"),
        lambda content: content + b'{"id": 2}\n',
        lambda content: content.replace(b'{"id": 0', b'[{"id": 0').replace(b'"norm": 3.5', b'"norm": 3.5}]#'),
        lambda content: b"[1]\n",
    ],
    ids=["empty", "cut off", "a record missing", "zeros", "a record too many", "no object", "no header"],
)
def test_a_damaged_unit_is_named_with_its_remedy(journal, damage):
    write(journal)
    path_of(journal).write_bytes(damage(path_of(journal).read_bytes()))
    with pytest.raises(ValueError, match=r"evaluated-00000000\.jsonl is damaged: delete the file and run the same"):
        journal.units()


def test_a_half_written_temporary_file_is_ignored(journal):
    write(journal)
    content = path_of(journal).read_bytes()
    (path_of(journal).parent / ".evaluated-00000002.jsonl.0a1b.part").write_bytes(content[:50])
    assert len(journal.units()) == 1


@pytest.mark.parametrize("stage", ["fsync", "link"])
def test_a_full_disk_leaves_nothing_of_the_unit_and_is_one_sentence(journal, monkeypatch, stage):
    def full_disk(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, stage, full_disk)
        with pytest.raises(
            OSError, match=r"evaluated-00000000\.jsonl .*free space on its disk and run the same"
        ) as error:
            write(journal)
    assert "\n" not in str(error.value)
    assert list(path_of(journal).parent.iterdir()) == []
    assert write(journal)


def test_nan_is_stored_as_null(journal):
    write(journal, records=[{"id": 0, "norm": float("nan")}])
    assert journal.units()[0].records[0]["norm"] is None
    assert "NaN" not in path_of(journal).read_text()


def test_a_unit_without_records_comes_back(journal):
    write(journal, records=[])
    assert journal.units()[0].records == []
    assert json.loads(path_of(journal).read_text())["n_records"] == 0
