"""Status shows how many images are complete, the accuracies so far, and the command that resumes."""

import pytest

from ssni_jax.journal.calibration import load_calibrated
from ssni_jax.journal.certification import load_certified
from ssni_jax.journal.evaluation import load_evaluated
from ssni_jax.journal.formats import DASH
from ssni_jax.journal.rows import summarise
from ssni_jax.journal.status import is_complete, load_runs, status
from ssni_jax.journal.workdir import open_workdir, write_run
from tests.workdirs import (
    attacked_record,
    calibrated_workdir,
    certified_record,
    certified_records,
    certified_workdir,
    clean_record,
    evaluated_workdir,
    identity,
)


def test_an_unfinished_run_says_how_to_resume(workdir):
    path = workdir("ssni-n", n=24, recorded=16)
    text = status(path)
    assert "ssni-n: 16 of 24 images" in text
    assert f"missing 16{DASH}23; resume with: ssni evaluate configs/ssni-n_digits.py --workdir runs/ssni-n" in text
    assert not is_complete(path)


def test_a_finished_run_says_complete_and_shows_its_numbers(workdir):
    path = workdir("diffpure", n=24)
    row = summarise("diffpure", load_evaluated(path).records)
    text = status(path)
    assert "complete" in text
    for name in ("clean", "robust", "robust_vote", "robust_majority", "robust_worst", "fixed_key"):
        assert f"{100 * row[name]:.1f} %" in text
        assert f"[{100 * row[name + '_ci'][0]:.1f}, {100 * row[name + '_ci'][1]:.1f}]" in text
    assert is_complete(path)


def test_judgements_of_several_draws_are_shown_only_where_there_are_several(tmp_path):
    single = status(evaluated_workdir(tmp_path / "a", "a", [attacked_record(0)]))
    assert "robust" in single
    assert "vote of" not in single
    several = status(evaluated_workdir(tmp_path / "b", "b", [attacked_record(0, draws=[3, 3], answers=[3, 3])]))
    assert all(name in several for name in ("one draw", "vote of 2", "majority of 2", "worst of 2", "fixed key"))


def test_the_worst_iterate_is_shown_where_iterates_were_judged(tmp_path):
    assert "worst iterate" not in status(evaluated_workdir(tmp_path / "a", "a", [attacked_record(0)]))
    judged = status(evaluated_workdir(tmp_path / "b", "b", [attacked_record(0, iterates=[3, 8])]))
    assert "  worst iterate     0.0 %  [0.0, 97.5]" in judged


def test_an_evaluation_without_an_attack_shows_clean_accuracy_alone(tmp_path):
    text = status(evaluated_workdir(tmp_path, "x", [clean_record(0)]))
    assert "clean" in text
    assert "robust" not in text
    assert "fixed key" not in text
    assert text.endswith("complete")


def test_nan_predictions_are_counted(tmp_path):
    records = [clean_record(0, clean_label=-1), attacked_record(1, draws=[-1])]
    text = status(evaluated_workdir(tmp_path, "x", records))
    assert "1 clean and 1 adversarial images had NaN logits" in text
    assert "clean            50.0 %  [1.3, 98.7]  1 invalid" in text
    assert "robust            0.0 %  [0.0, 97.5]  1 invalid" in text


def test_a_parent_lists_every_run_and_is_complete_only_with_all(workdir):
    parent = workdir("diffpure", n=4).parent
    assert is_complete(parent)
    workdir("ssni-n", n=4, recorded=0)
    text = status(parent)
    assert "diffpure: 4 of 4" in text
    assert "ssni-n: 0 of 4" in text
    assert not is_complete(parent)


def test_an_image_is_certified_when_it_has_a_record_at_every_sigma(tmp_path):
    records = [record for record in certified_records() if (record["id"], record["sigma"]) != (7, 0.5)]
    path = certified_workdir(tmp_path, "x", records, planned=40)
    assert load_certified(path).missing == [7]
    assert "x: 39 of 40 images at sigma 0.25, 0.5, 1" in status(path)
    assert "certified at radius 0: " in status(path)


def test_a_certificate_of_two_jobs_counts_once_and_what_is_not_planned_is_left_out(tmp_path):
    twice = [
        certified_record(0),
        certified_record(0, prediction=1),
        certified_record(5),
        certified_record(0, sigma=3.0),
    ]
    run = load_certified(certified_workdir(tmp_path, "x", twice, planned=1))
    assert [(record["id"], record["sigma"], record["prediction"]) for record in run.records] == [(0, 0.5, 3)]


def test_a_calibration_counts_its_norms_and_keeps_nan(tmp_path):
    path = calibrated_workdir(tmp_path, {0: 1.5, 2: float("nan")}, planned=4)
    run = load_calibrated(path)
    assert (run.norms[0], run.missing) == (1.5, [1, 3])
    assert run.norms[2] != run.norms[2]
    assert "norms: 2 of 4 norms" in status(path)


def test_equal_names_are_told_apart_by_their_directories(tmp_path):
    for seed in (0, 1):
        open_workdir(tmp_path / f"seed-{seed}", identity(seed=seed))
        write_run(tmp_path / f"seed-{seed}", [0], "", kind="evaluation", defense="ssni-n")
    assert [run.name for run in load_runs(tmp_path).evaluations] == ["ssni-n (seed-0)", "ssni-n (seed-1)"]


def test_a_place_without_runs_is_named(tmp_path):
    for use in (load_runs, status, is_complete):
        with pytest.raises(FileNotFoundError, match="holds no"):
            use(tmp_path)
        with pytest.raises(FileNotFoundError, match=r"There is no directory .*nowhere: check"):
            use(tmp_path / "nowhere")
    calibrated_workdir(tmp_path / "norms", {}, 1)
    with pytest.raises(FileNotFoundError, match="holds no evaluation, certification or training"):
        load_runs(tmp_path)
