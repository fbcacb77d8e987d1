"""A training is read back as it stands, and its curves say no more than its numbers."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from ssni_jax.data import read_image
from ssni_jax.files.atomic import write_json
from ssni_jax.journal.status import is_complete, status
from ssni_jax.journal.training import load_trained, newest_pictures, steps_per_second
from ssni_jax.report.figures.curves import curve, metric_names, smoothed, window
from ssni_jax.report.page import write_report
from tests.workdirs import trained_workdir


def test_status_says_how_far_how_well_and_how_to_resume(tmp_path):
    path = trained_workdir(tmp_path / "run")
    text = status(path)
    assert "small: step 300 of 2000" in text
    assert "loss 0.333" in text
    assert f"resume with: ssni train CONFIG --workdir {path}" in text
    assert not is_complete(path)


def test_status_resumes_with_the_command_that_the_run_kept(tmp_path):
    path = trained_workdir(tmp_path / "run")
    write_json(path / "run.json", {"kind": "training", "command": "ssni train configs/x.py --workdir here"})
    assert "resume with: ssni train configs/x.py --workdir here" in status(path)


def test_a_training_is_complete_when_its_network_is_written(tmp_path):
    assert not is_complete(trained_workdir(tmp_path / "a", steps=(1900, 2000)))
    path = trained_workdir(tmp_path / "b", steps=(1900, 2000), exported=True)
    assert is_complete(path)
    assert "complete" in status(path)


def test_a_finished_training_that_is_to_go_on_for_longer_is_not_complete(tmp_path):
    path = trained_workdir(tmp_path, steps=(1900, 2000), exported=True)
    write_json(path / "run.json", {"kind": "training", "command": "ssni train configs/x.py", "n_steps": 3000})
    assert not is_complete(path)
    assert status(path).endswith("resume with: ssni train configs/x.py")


def test_a_training_that_has_not_written_a_line_is_at_step_zero(tmp_path):
    path = trained_workdir(tmp_path / "run", steps=())
    assert "small: step 0 of 2000" in status(path)
    assert load_trained(path).metrics == []


def test_a_line_cut_short_by_a_kill_is_not_read(tmp_path):
    path = trained_workdir(tmp_path / "run")
    with (path / "checkpoints" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 400, "lo')
    assert load_trained(path).step == 300


def test_the_newest_picture_is_the_one_of_the_highest_step(tmp_path):
    for name in ("step-999999-samples.png", "step-1000000-samples.png", "step-000500-a-b.png", "other.png"):
        (tmp_path / name).touch()
    newest = {kind: step for kind, (step, _) in newest_pictures(tmp_path).items()}
    assert newest == {"samples": 1000000, "a-b": 500}


def test_speed_is_known_only_within_one_process():
    assert steps_per_second([{"step": 100, "seconds": 10.0}, {"step": 200, "seconds": 30.0}]) == 5
    assert steps_per_second([{"step": 100, "seconds": 90.0}, {"step": 200, "seconds": 10.0}]) is None
    assert steps_per_second([{"step": 100, "seconds": 10.0}]) is None


@pytest.mark.parametrize("n", [3, 40, 1000])
def test_a_smoothed_curve_stays_within_its_values_and_keeps_a_constant(n):
    values = np.random.default_rng(0).random(n)
    smooth = smoothed(values, window(n))
    assert smooth.shape == values.shape
    assert values.min() <= smooth.min() <= smooth.max() <= values.max()
    np.testing.assert_allclose(smoothed(np.full(n, 3.0), window(n)), 3.0)


def test_every_metric_has_a_curve_the_loss_first():
    lines = [{"step": n, "seconds": 1.0, "gradient_norm": 2.0, "loss": 1 / n, "accuracy": 0.5} for n in range(1, 80)]
    assert metric_names(lines) == ["loss", "gradient_norm", "accuracy"]
    for name in metric_names(lines):
        assert ElementTree.fromstring(curve(lines, name)).tag.endswith("svg")
    assert "mean of 5 lines" in curve(lines, "loss")


def test_a_value_that_is_no_number_is_left_out_of_the_curve():
    lines = [{"step": 1, "loss": float("nan")}, {"step": 2, "loss": 1.0}, {"step": 3}]
    assert ElementTree.fromstring(curve(lines, "loss")).tag.endswith("svg")
    assert ElementTree.fromstring(curve([{"step": 1, "loss": float("nan")}], "loss")).tag.endswith("svg")


def test_the_report_writes_the_losses_of_all_trainings_as_one_picture(tmp_path):
    for name in ("a", "b"):
        trained_workdir(tmp_path / name)
    write_report(tmp_path)
    height, width = read_image(tmp_path / "curves.png", 3).shape[:2]
    assert width > 2 * height > 0  # two panels side by side
