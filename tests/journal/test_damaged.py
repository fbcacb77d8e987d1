"""Hand-edited files of a workdir: `ssni status` and the report name the file and a remedy, or are right."""

import json

import numpy as np
import pytest

from ssni_jax.journal.evaluation import saved_images
from ssni_jax.journal.pictures import load_pictures, picture_ids
from ssni_jax.journal.status import status
from ssni_jax.journal.sweep import write_sweep
from ssni_jax.journal.units import Journal
from tests.workdirs import (
    attacked_record,
    calibrated_workdir,
    certified_records,
    certified_workdir,
    evaluated_workdir,
    trained_workdir,
)

DELETED = object()


def evaluation(path):
    stages = [{"attack": "apgd", "n": 2, "ran": 2, "standing": 1, "queries": 9}]
    curves = [{"norm": [1.0, 2.0], "t": [0.1, 0.2]}]
    records = [attacked_record(0, iterates=[3, 8]), attacked_record(1, iterates=[3, 3])]
    evaluated_workdir(path, "x", records, stages=stages, level_curves=curves)
    checks = [{"name": "larger eps", "verdict": "pass", "sentence": "It falls.", "numbers": {}}]
    (path / "sanity.json").write_text(json.dumps({"n_images": 2, "checks": checks}))
    return path


def sweep(path):
    evaluated_workdir(path / "cell", "x", [attacked_record(0)])
    place = {"defense": "x", "attack": "pgd", "norm": "Linf", "eps": 0.1, "group": "", "n_images": 1}
    write_sweep(path, "all", "ssni sweep", [0], [{**place, "workdir": path / "cell"}])
    return path


MAKE = {
    "evaluation": evaluation,
    "certification": lambda path: certified_workdir(path, "x", certified_records(n=2), planned=2),
    "calibration": lambda path: calibrated_workdir(path, {0: 1.5}, 1),
    "training": trained_workdir,
    "sweep": sweep,
}


def edited(file, change, line=0):
    """Changes one JSON value of a file in place, and takes its digest away, as an editor who knows of it could."""
    lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
    value = json.loads(lines[line])
    *way, last = change[0]
    inner = value
    for key in way:
        inner = inner[key]
    if change[1] is DELETED:
        del inner[last]
    else:
        inner[last] = change[1]
    lines[line] = json.dumps(value)
    sealed = json.loads(lines[0])
    sealed.pop("digest", None)
    file.write_text("\n".join([json.dumps(sealed), *lines[1:]]) + "\n")


@pytest.mark.parametrize(
    ("kind", "name", "line", "change", "words"),
    [
        ("evaluation", "experiment.json", 0, (["eps"], 0.3), "was changed after it was written.*: restore it"),
        ("evaluation", "experiment.json", 0, (["hash"], DELETED), "hash must be a text, got nothing"),
        ("training", "experiment.json", 0, (["n_steps"], "9"), "was changed after it was written"),
        ("evaluation", "run.json", 0, (["ids"], "all"), "ids must be a list.*got 'all'.*: delete it and run"),
        ("evaluation", "run.json", 0, (["ids", 0], 0.5), r"ids\[0\] must be a whole number"),
        ("evaluation", "run.json", 0, (["command"], None), "command must be a text"),
        ("evaluation", "run.json", 0, (["defense"], DELETED), "defense must be a text, got nothing"),
        ("evaluation", "run.json", 0, (["kind"], "x"), "its kind is 'x', none of evaluation"),
        ("evaluation", "run.json", 0, (["kind"], []), "its kind is .*none of"),
        ("evaluation", "run.json", 0, (["stages", 0, "n"], "2"), r"stages.*must be"),
        ("evaluation", "run.json", 0, (["level_curves", 0, "t"], [0.1]), "a level curve lacks points"),
        ("evaluation", "sanity.json", 0, (["checks", 0, "verdict"], DELETED), r"checks\[0\]\.verdict must be a text"),
        ("evaluation", "units/*", 0, (["n_records"], 3), "is damaged: delete the file and run the same command"),
        ("evaluation", "units/*", 0, (["stage"], "juggled"), 'stage must be "evaluated" or "draws" or'),
        ("evaluation", "units/*", 0, (["stage"], DELETED), "stage must be"),
        ("evaluation", "units/*", 0, (["curve", "loss"], 3), "curve must be"),
        ("evaluation", "units/*", 1, (["label"], "3"), r"line 2\.label must be a whole number, got '3'"),
        ("evaluation", "units/*", 2, (["clean_label"], DELETED), r"line 3\.clean_label must be .*got nothing"),
        ("evaluation", "units/*", 1, (["draws"], 3), r"line 2\.draws must be a list"),
        ("evaluation", "units/*", 1, (["clean_norm"], 10**30), "is damaged: delete the file"),
        ("evaluation", "units/*", 1, (["seconds"], float("nan")), "is damaged: delete the file"),
        ("evaluation", "units/*", 1, (["iterates"], [3]), "a record lacks iterates"),
        ("certification", "run.json", 0, (["sigmas"], 0.25), "sigmas must be a list, each entry a number"),
        ("certification", "units/*", 1, (["radius"], None), r"line 2\.radius must be a number, got None"),
        ("certification", "units/*", 1, (["n_invalid"], DELETED), r"line 2\.n_invalid must be a whole number"),
        ("calibration", "units/*", 1, (["norm"], "1.5"), r"line 2\.norm must be a number or None, got '1.5'"),
        ("training", "checkpoints/metrics.jsonl", 1, (["step"], DELETED), "is damaged in line 2: delete that line"),
        ("sweep", "sweep.json", 0, (["cells", 0, "eps"], "0.1"), r"cells\[0\]\.eps must be a number or None"),
        ("sweep", "sweep.json", 0, (["cells"], []), "it lists no cells"),
        ("sweep", "sweep.json", 0, (["ids"], DELETED), "ids must be a list"),
    ],
)
def test_an_edited_file_is_named_with_its_place_and_a_remedy(tmp_path, kind, name, line, change, words):
    path = MAKE[kind](tmp_path / "w")
    status(path)
    (file,) = path.glob(name)
    edited(file, change, line)
    with pytest.raises(ValueError, match=words) as error:
        status(path)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("units/evaluated-00000000.jsonl", '"clean_label": 3', '"clean_label": 4'),
        ("units/evaluated-00000000.jsonl", '"seconds": 0.25', '"seconds": 0.15'),
        ("run.json", '"n_draws": 1', '"n_draws": 2'),
        ("experiment.json", '"eps": 0.03', '"eps": 0.04'),
    ],
)
def test_a_change_that_still_makes_sense_is_found(tmp_path, name, before, after):
    path = evaluation(tmp_path)
    content = (path / name).read_text()
    assert before in content
    (path / name).write_text(content.replace(before, after, 1))
    with pytest.raises(ValueError, match=f"{name}.*was changed after it was written"):
        status(path)


@pytest.mark.parametrize("content", [b"", b"[1]", b"null", b"{", b"\xff\0", b"[" * 99_999, b"9" * 9999])
@pytest.mark.parametrize("name", ["experiment.json", "run.json", "sanity.json", "units/evaluated-00000000.jsonl"])
def test_garbage_in_place_of_a_file_is_named(tmp_path, name, content):
    path = evaluation(tmp_path)
    (path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        status(path)


def test_a_unit_in_two_files_and_an_image_twice_in_one_count_once(tmp_path):
    path = evaluation(tmp_path)
    before = status(path)
    (unit,) = path.glob("units/*")
    unit.with_name("evaluated-copy.jsonl").write_bytes(unit.read_bytes())
    edited(unit, (["n_records"], 3))
    unit.write_text(unit.read_text() + unit.read_text().splitlines()[-1] + "\n")
    assert status(path) == before


def test_no_images_in_a_stage_are_no_share(tmp_path):
    path = evaluation(tmp_path)
    edited(path / "run.json", (["stages", 0, "n"], 0))
    assert "after apgd" in status(path)


def test_damaged_pictures_are_named_and_other_files_are_none(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "notes.npz").touch()
    (tmp_path / "pictures" / "3.npz").write_bytes(b"PK\3\4")
    assert picture_ids(tmp_path) == [3]
    with pytest.raises(ValueError, match=r"3\.npz cannot be read as an \.npz file .*: delete it"):
        load_pictures(tmp_path, 3)


def test_damaged_adversarial_images_are_named(tmp_path):
    (tmp_path / "adversarial").mkdir()
    file = tmp_path / "adversarial" / "u.npz"
    file.write_bytes(b"PK\3\4")
    with pytest.raises(ValueError, match=r"u\.npz cannot be read .*: restore it, or evaluate into a new --workdir"):
        saved_images(tmp_path, np.arange(2))
    np.savez(file, id=np.arange(2))
    with pytest.raises(ValueError, match=r"u\.npz lacks the arrays id and image"):
        saved_images(tmp_path, np.arange(2))


def test_a_unit_of_another_stage_may_hold_records_of_its_own_kind(tmp_path):
    journal = Journal(tmp_path, "abc")
    journal.write("draws1-00000000", {"stage": "draws"}, [{"id": 0, "first": 1, "draws": [3], "answers": [3]}])
    journal.write("a", {"stage": "attack-apgd"}, [{"id": 0, "broken": 0.5, "loss": None, "queries": 3}])
    assert len(journal.units()) == 2
