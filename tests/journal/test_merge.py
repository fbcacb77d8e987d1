"""Joining workdirs: all of what they hold, once, or a refusal before anything is written."""

import json
import shutil

import numpy as np
import pytest

from ssni_jax.commands.arguments import placed
from ssni_jax.commands.merge import Merge
from ssni_jax.files.atomic import read_json, write_arrays
from ssni_jax.files.remote import as_path
from ssni_jax.journal import merge as merging
from ssni_jax.journal.certification import load_certified
from ssni_jax.journal.evaluation import load_evaluated
from ssni_jax.journal.merge import merge
from ssni_jax.journal.status import is_complete, status
from ssni_jax.journal.workdir import write_run
from ssni_jax.report.page import write_report
from tests.workdirs import (
    attacked_record,
    calibrated_workdir,
    certified_records,
    certified_workdir,
    evaluated_workdir,
    identity,
    opened,
    random_records,
    trained_workdir,
)

N = 32


@pytest.fixture
def whole(tmp_path):
    return evaluated_workdir(tmp_path / "whole", "ssni-n", random_records("ssni-n", N))


@pytest.fixture
def parts(tmp_path, whole):
    """Two workdirs with every other unit of the whole one, with arrays and a picture each."""
    places = []
    for number in range(2):
        place = tmp_path / f"part{number}"
        shutil.copytree(whole, place)
        for path in sorted((place / "units").glob("*"))[1 - number :: 2]:
            path.unlink()
        for path in (place / "units").glob("*"):
            write_arrays(place / "adversarial" / f"{path.stem}.npz", {"id": np.arange(8)})
        write_arrays(place / "adversarial" / "evaluated-00000099.npz", {"id": np.arange(8)})  # of a killed unit
        write_arrays(place / "pictures" / f"{number}.npz", {"clean": np.zeros((2, 2, 1))})
        (place / "leases").mkdir()
        places.append(place)
    return places


def everything(workdir):
    return {str(path.relative_to(workdir)): path.read_bytes() for path in workdir.rglob("*") if path.is_file()}


def test_the_parts_are_the_whole_again_and_stay_as_they_are(parts, whole, tmp_path):
    before = [everything(part) for part in parts]
    merge(tmp_path / "out", parts)
    assert load_evaluated(tmp_path / "out").records == load_evaluated(whole).records
    assert [everything(part) for part in parts] == before
    kept = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.npz")}
    arrays = {f"adversarial/evaluated-{first:08d}.npz" for first in (0, 8, 16, 24)}
    assert kept == {"pictures/0.npz", "pictures/1.npz", *arrays}
    assert is_complete(tmp_path / "out")


def test_the_command_that_resumes_names_the_new_directory(parts, tmp_path):
    merge(tmp_path / "out", [parts[0]], allows_gaps=True)
    assert f"resume with: ssni evaluate configs/ssni-n_digits.py --workdir {tmp_path / 'out'}" in status(
        tmp_path / "out"
    )


def test_gaps_are_refused_with_their_images_unless_they_are_allowed(parts, tmp_path):
    with pytest.raises(ValueError, match=r"16 of 32 planned images .*\(8.15, 24.31\).*--allow-gaps"):
        merge(tmp_path / "out", parts[:1])
    assert not (tmp_path / "out").exists()
    merge(tmp_path / "out", parts[:1], allows_gaps=True)
    assert load_evaluated(tmp_path / "out").missing == [*range(8, 16), *range(24, 32)]


def test_an_image_that_two_parts_have_is_refused_with_both_files(parts, tmp_path):
    shutil.copy(parts[0] / "units" / "evaluated-00000016.jsonl", parts[1] / "units" / "other.jsonl")
    both = (
        r"image 16 is in .*part0/units/evaluated-00000016.jsonl and in .*part1/units/other.jsonl, with 8 such records"
    )
    with pytest.raises(ValueError, match=both):
        merge(tmp_path / "out", parts)


def test_another_experiment_is_refused_with_the_first_difference(parts, tmp_path):
    other = evaluated_workdir(tmp_path / "other", "ssni-n", random_records("ssni-n", 8), seed=1)
    with pytest.raises(ValueError, match=r"other was made with seed = 1 and .*part0 with 0: join only workdirs of one"):
        merge(tmp_path / "out", [*parts, other])


def test_a_damaged_unit_is_refused_by_name(parts, tmp_path):
    path = parts[1] / "units" / "evaluated-00000008.jsonl"
    path.write_text(path.read_text().replace('"clean_label"', '"clean_lable"', 1))
    with pytest.raises(ValueError, match=r"part1/units/evaluated-00000008.jsonl is damaged"):
        merge(tmp_path / "out", parts)


def test_a_plan_that_does_not_hold_the_others_is_refused(parts, tmp_path):
    run = read_json(parts[1] / "run.json")
    write_run(parts[1], [*range(30), 40], **{key: run[key] for key in run.keys() - {"ids", "digest"}})
    with pytest.raises(ValueError, match=r"part1 was to have other ids than the rest"):
        merge(tmp_path / "out", parts)


def test_a_training_and_an_empty_directory_are_refused(tmp_path):
    trained_workdir(tmp_path / "training")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="is a training, which is no list of images"):
        merge(tmp_path / "out", [tmp_path / "training"])
    with pytest.raises(FileNotFoundError, match="empty holds no run"):
        merge(tmp_path / "out", [tmp_path / "empty"])


def test_a_directory_that_holds_a_run_is_not_written(parts, whole):
    before = everything(whole)
    with pytest.raises(FileExistsError, match="whole holds a run already"):
        merge(whole, parts)
    assert everything(whole) == before


def test_a_merge_that_was_killed_leaves_no_workdir_and_is_repeated(parts, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(merging, "write_sealed", killed)
        merge(tmp_path / "out", parts)
    assert (tmp_path / "out" / "units").exists() and not (tmp_path / "out" / "experiment.json").exists()
    merge(tmp_path / "out", parts)
    assert is_complete(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    shutil.copytree(parts[1] / "units", tmp_path / "out" / "units")
    with pytest.raises(FileExistsError, match=r"holds units/evaluated-00000008.jsonl already"):
        merge(tmp_path / "out", parts[:1], allows_gaps=True)


def test_methods_of_one_certification_are_joined_by_name(tmp_path):
    records = certified_records(n=4)
    for number in range(2):
        for method in ("a", "b"):
            half = [record for record in records if record["id"] % 2 == number]
            certified_workdir(tmp_path / f"host{number}" / method, method, half, 4)
    for path in (tmp_path / "host1").glob("*/units/*"):
        path.rename(path.with_name("certified-00000001.jsonl"))
    merge(tmp_path / "out", [tmp_path / "host0", tmp_path / "host1"])
    for method in ("a", "b"):
        results = load_certified(tmp_path / "out" / method)
        assert not results.missing and len(results.records) == len(records)


def test_norms_are_joined(tmp_path):
    one = calibrated_workdir(tmp_path / "one", {0: 1.0, 1: 2.0}, 4)
    with pytest.raises(ValueError, match="2 of 4 planned images"):
        merge(tmp_path / "out", [one])


def test_the_attacks_of_an_ensemble_are_counted_anew(tmp_path):
    """Three images: one falls to the clean look, one to the attack, one stands."""
    attack, places = {"kind": "Ensemble", "names": ["apgd"], "falls_at": 0.5}, []
    broken = {0: {"clean": 1.0}, 1: {"clean": 0.0, "apgd": 1.0}, 2: {"clean": 0.0, "apgd": 0.0}}
    for id, shares in broken.items():
        place = tmp_path / f"part{id}"
        journal = opened(place, identity(attack=attack))
        for name, share in shares.items():
            record = {"id": id, "broken": share, "loss": 0.0, "queries": 5}
            journal.write(f"attack-{name}-{id:08d}", {"stage": f"attack-{name}"}, [record])
        journal.write(f"evaluated-{id:08d}", {"stage": "evaluated"}, [attacked_record(id)])
        stages = [{"attack": name, "n": 3, "ran": 1, "standing": 2, "queries": 5} for name in ("clean", "apgd")]
        write_run(place, range(3), "ssni evaluate x.py", kind="evaluation", defense="x", n_draws=1, stages=stages)
        places.append(place)
    merge(tmp_path / "out", places)
    rows = json.loads((tmp_path / "out" / "run.json").read_text())["stages"]
    assert [(row["attack"], row["ran"], row["standing"], row["queries"]) for row in rows] == [
        ("clean", 3, 2, 15), ("apgd", 2, 1, 10),
    ]  # fmt: skip


def test_a_workdir_goes_to_a_store_and_comes_back(whole, tmp_path, capsys):
    stored = f"memory://{tmp_path.name}/runs"
    placed(Merge(as_path(stored), (whole,))).run([])
    placed(Merge(tmp_path / "back", (as_path(stored),))).run([])
    assert load_evaluated(tmp_path / "back").records == load_evaluated(whole).records
    assert f"Next: ssni report {stored}" in capsys.readouterr().out


@pytest.mark.slow
def test_the_report_of_a_workdir_on_a_store_lies_there(whole, tmp_path):
    stored = as_path(f"memory://{tmp_path.name}/runs")
    merge(stored, [whole])
    assert write_report(stored).read_text().startswith("<!doctype html>")
