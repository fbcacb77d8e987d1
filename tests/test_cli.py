"""The command line: what it prints, writes and refuses."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ssni_jax import purify
from ssni_jax.cli import COMMANDS, main
from ssni_jax.commands import bench, check_gradient
from ssni_jax.data import Digits, read_image, write_image
from ssni_jax.evals.gradient_check import Comparison, Slopes
from ssni_jax.journal.records import merge_records
from ssni_jax.zoo import bundled_path

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.py"))
TINY = ["--n-images", "8", "--batch-size", "8", "--n-draws", "1", "--n-slots", "8", "--surrogate-steps", "1"]
TINY += ["--attack.n-steps", "1"]


def refused(capsys, *arguments) -> str:
    """The one sentence of a refusal."""
    with pytest.raises(SystemExit) as stop:
        main([str(each) for each in arguments])
    assert stop.value.code == 2
    error = capsys.readouterr().err.strip()
    assert "Traceback" not in error
    return error


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(3):
        write_image(tmp_path / "in" / f"{i}.png", Digits("test").images[i])
    return tmp_path / "in"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 5


def test_no_command_shows_the_commands(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


def test_a_folder_is_purified_with_a_line_an_image(folder, tmp_path, capsys):
    main(["purify", str(folder), str(tmp_path / "out")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["image", "0.png", "1.png", "2.png"]
    t, norm = (float(lines[1].split()[column]) for column in (1, 2))
    assert 0 < t < 0.105 and norm > 10
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["0.png", "1.png", "2.png"]


def test_one_image_gets_the_same_pixels_alone_as_in_its_folder(folder, tmp_path):
    main(["purify", str(folder), str(tmp_path / "out")])
    main(["purify", str(folder / "0.png"), str(tmp_path / "alone.png")])
    alone, among = read_image(tmp_path / "alone.png", 1), read_image(tmp_path / "out" / "0.png", 1)
    assert np.max(np.abs(alone - among)) <= 1 / 255 + 1e-6


def test_the_python_call_keeps_shape_range_and_seed():
    images = Digits("test").images[:2]
    once, again, other = purify(images, seed=3), purify(images, seed=3), purify(images, seed=4)
    assert once.shape == images.shape and once.min() >= 0 and once.max() <= 1
    np.testing.assert_array_equal(once, again)
    assert np.abs(once - other).max() > 1e-3
    np.testing.assert_allclose(purify(images[0], seed=3), once[0], atol=1e-5)


def test_what_is_no_image_is_named(tmp_path, capsys):
    (tmp_path / "x.png").write_text("<html>")
    assert "x.png cannot be read as an image" in refused(capsys, "purify", tmp_path / "x.png", tmp_path / "o.png")


def test_a_colour_image_for_a_grey_network_is_named(tmp_path, capsys):
    write_image(tmp_path / "c.png", np.random.default_rng(0).random((8, 8, 3)))
    assert "3 channels where 1 is wanted" in refused(capsys, "purify", tmp_path / "c.png", tmp_path / "o.png")


def test_another_size_is_refused_unless_resized(tmp_path, capsys):
    write_image(tmp_path / "big.png", np.zeros((20, 20, 1)))
    error = refused(capsys, "purify", tmp_path / "big.png", tmp_path / "o.png")
    assert "20 x 20 x 1" in error and "8 x 8 x 1" in error
    main(["purify", str(tmp_path / "big.png"), str(tmp_path / "o.png"), "--resize"])
    assert read_image(tmp_path / "o.png", 1).shape == (8, 8, 1)


@pytest.mark.parametrize("value", [np.nan, 1.5])
def test_pixels_that_are_no_pixels_are_named(value):
    images = Digits("test").images[:2].copy()
    images[1, 0, 0, 0] = value
    with pytest.raises(ValueError, match="image 1 has"):
        purify(images)


def test_no_images_at_all_are_named():
    with pytest.raises(ValueError, match="give at least one"):
        purify(np.zeros((0, 8, 8, 1), np.float32))


def test_an_empty_or_missing_folder_is_named(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert "holds no PNG or JPEG file" in refused(capsys, "purify", tmp_path / "empty", tmp_path / "o")
    assert "nowhere" in refused(capsys, "purify", tmp_path / "nowhere", tmp_path / "o")


def test_damaged_weights_are_named(tmp_path, capsys):
    for file in bundled_path().glob("digits-score.*"):
        shutil.copy(file, tmp_path)
    with (tmp_path / "digits-score.safetensors").open("ab") as weights:
        weights.write(b"x")
    assert "is corrupted (sha256" in refused(capsys, "calibrate", tmp_path / "digits-score")


def test_an_unknown_preset_is_named(folder, capsys):
    assert "no preset 'magic'" in refused(capsys, "purify", folder, folder, "--preset", "magic")


def test_an_unknown_key_gets_a_suggestion(tmp_path, capsys):
    error = refused(
        capsys,
        "evaluate",
        ROOT / "configs" / "ssni_n_digits.py",
        "--workdir",
        tmp_path / "w",
        "--attack.threat.epsilon",
        "1",
    )
    assert "epsilon" in error and "--attack.threat.eps FLOAT" in error
    assert not (tmp_path / "w").exists()


def test_a_network_is_not_swapped_under_its_calibration(tmp_path, capsys):
    config = ROOT / "configs" / "ssni_n_digits.py"
    flags = ["--defense.purify.denoise.name", "other"]
    assert "the noise level was calibrated" in refused(capsys, "evaluate", config, "--workdir", tmp_path / "w", *flags)


def test_a_config_that_is_none_is_named(tmp_path, capsys):
    assert "no config file" in refused(capsys, "evaluate", tmp_path / "no.py", "--workdir", tmp_path / "w")
    (tmp_path / "bad.py").write_text("x = (")
    assert "not valid Python" in refused(capsys, "evaluate", tmp_path / "bad.py", "--workdir", tmp_path / "w")
    (tmp_path / "empty.py").write_text("x = 1")
    assert "builds no `experiment`" in refused(capsys, "train", tmp_path / "empty.py", "--workdir", tmp_path / "w")
    training = ROOT / "configs" / "train_score_digits.py"
    assert "reads Evaluation" in refused(capsys, "evaluate", training, "--workdir", tmp_path / "w")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_short_builds_and_lists_its_fields(config, capsys, data_of_configs):
    assert len(config.read_text().splitlines()) <= 40
    kinds = {"import Training": "train", "import Certification": "certify", "import Evaluation": "evaluate"}
    command = next(command for kind, command in kinds.items() if kind in config.read_text())
    with pytest.raises(SystemExit) as stop:
        main([command, str(config), "--fields"])
    assert stop.value.code == 0
    assert "--seed" in capsys.readouterr().out


def test_data_that_do_not_fit_the_networks_or_lack_labels_are_named(tmp_path, capsys):
    images = np.zeros((3, 9, 9, 1), np.uint8)
    np.savez(tmp_path / "big.npz", images=images, labels=np.arange(3))
    np.savez(tmp_path / "unlabelled.npz", images=images)
    text = (ROOT / "configs" / "diffpure_digits.py").read_text().replace("import Digits", "import Npz")
    for name, words in (("big", "9 x 9 x 1"), ("unlabelled", "has no labels")):
        config = tmp_path / f"{name}.py"
        config.write_text(text.replace('Digits("test")', f"Npz({str(tmp_path / name) + '.npz'!r})"))
        assert words in refused(capsys, "evaluate", config, "--workdir", tmp_path / "w")


def test_an_evaluation_runs_resumes_and_is_reported(tmp_path, capsys):
    command = ["evaluate", str(ROOT / "configs" / "ssni_n_digits.py"), "--workdir", str(tmp_path / "w"), *TINY]
    main(command)
    assert "8 of 8 images" in capsys.readouterr().out
    main(command)
    main(["status", str(tmp_path / "w")])
    assert "complete" in capsys.readouterr().out
    main(["report", str(tmp_path / "w")])
    assert "SSNI-N" in (tmp_path / "w" / "report.html").read_text()
    error = refused(capsys, *command, "--seed", "5")
    assert "seed = 0, not 5" in error


def test_training_exports_a_network_that_calibrates_and_purifies(tmp_path, folder, capsys):
    config = ROOT / "configs" / "train_score_digits.py"
    tiny = ["--n-steps", "4", "--batch-size", "8", "--network.model-channels", "8", "--every", "2"]
    main(["train", str(config), "--workdir", str(tmp_path / "t"), *tiny])
    assert "digits-score.safetensors" in capsys.readouterr().out
    network = str(tmp_path / "t" / "digits-score")
    main(["calibrate", network, "--n-levels", "2", "--images", "published"])
    calibration = json.loads(Path(network + ".calibration.json").read_text())
    assert len(calibration["norms"]) == 200 and calibration["images"] == "published"
    assert {"mean", "low", "high", "seed", "network", "data"} <= calibration.keys()


def test_methods_are_certified_side_by_side_and_resume(tmp_path, capsys):
    config = tmp_path / "two.py"
    text = (ROOT / "configs" / "certify_digits.py").read_text()
    config.write_text(
        text + "\nexperiments = tuple(e for e in experiments if e.name in ('Plain classifier', 'One-step EDM'))\n"
    )
    tiny = ["--n-images", "2", "--n-selection", "4", "--n-estimation", "12", "--sigmas", "0.5", "--batch-size", "32"]
    command = ["certify", str(config), "--workdir", str(tmp_path / "w"), *tiny]
    main(command)
    shown = capsys.readouterr().out
    assert "Plain classifier: 2 of 2 images at sigma 0.5" in shown and "One-step EDM: 2 of 2 images" in shown
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["one-step-edm", "plain-classifier"]
    before = (tmp_path / "w" / "one-step-edm" / "records-0.jsonl").read_bytes()
    main(command)
    assert (tmp_path / "w" / "one-step-edm" / "records-0.jsonl").read_bytes() == before
    assert "n_estimation = 12, not 13" in refused(capsys, *command, "--n-estimation", "13")
    main([*command, "--only", "One-step EDM"])
    assert "no method 'EDM': choose one of Plain classifier" in refused(capsys, *command, "--only", "EDM")


def test_draws_that_cannot_certify_are_named_with_the_number_that_could(tmp_path, capsys):
    command = ["certify", ROOT / "configs" / "certify_digits.py", "--workdir", tmp_path / "w", "--n-estimation", "9"]
    assert "the smallest number that could is 10" in refused(capsys, *command)
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
@pytest.mark.parametrize("script", ["ragged.py", "gradient.py", "certify.py", "train.py"])
def test_a_benchmark_prints_one_json_line(script):
    small = {"ragged.py": ["--images", "16", "--slots", "4"], "gradient.py": ["--steps", "4", "--images", "4"]}
    small["certify.py"] = ["--images", "2", "--n-estimation", "100"]
    small["train.py"] = ["--steps", "2", "--batch-size", "8"]
    command = [sys.executable, str(ROOT / "benchmarks" / script), *small[script]]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert len(out.splitlines()) == 1
    assert json.loads(out)["benchmark"] == script.removesuffix(".py")


@pytest.mark.slow
def test_two_processes_evaluate_what_one_does(tmp_path):
    config = str(ROOT / "configs" / "ssni_n_digits.py")
    launcher = [sys.executable, str(ROOT / "launch" / "local_multiprocess.py"), "--timeout", "300", "--"]
    alone = [sys.executable, "-c", "from ssni_jax.cli import main; main()"]
    for start, name in ((launcher, "two"), (alone, "one")):
        subprocess.run([*start, "evaluate", config, "--workdir", str(tmp_path / name), *TINY], check=True, cwd=ROOT)
    one, two = (merge_records(tmp_path / name) for name in ("one", "two"))
    assert len(list((tmp_path / "two").glob("records-*.jsonl"))) == 2
    assert [record["id"] for record in two] == list(range(8))
    for mine, theirs in zip(one, two, strict=True):
        assert mine["clean_t"] == pytest.approx(theirs["clean_t"], abs=1.1e-3)
        assert mine["clean_prediction"] == theirs["clean_prediction"]


CERTIFIED = ["--n-images", "6", "--n-selection", "8", "--n-estimation", "96", "--sigmas", "0.5", "--batch-size", "64"]
CERTIFIED += ["--n-together", "2"]


def certified(workdir):
    """The votes of the one-step row."""
    records = merge_records(workdir / "one-step-edm", ("id", "sigma"))
    return [(record["id"], record["selection"], record["estimation"], record["radius"]) for record in records]


@pytest.mark.slow
def test_a_certification_killed_by_the_system_or_run_by_two_processes_ends_as_one_left_alone(tmp_path):
    config = tmp_path / "two.py"
    text = (ROOT / "configs" / "certify_digits.py").read_text()
    config.write_text(
        text + "\nexperiments = tuple(e for e in experiments if e.name in ('Plain classifier', 'One-step EDM'))\n"
    )
    alone = [sys.executable, "-c", "from ssni_jax.cli import main; main()"]
    two = [sys.executable, str(ROOT / "launch" / "local_multiprocess.py"), "--timeout", "300", "--"]

    def command(start, name):
        return [*start, "certify", str(config), "--workdir", str(tmp_path / name), *CERTIFIED]

    killed = subprocess.Popen(command(alone, "killed"), cwd=ROOT)
    records = tmp_path / "killed" / "one-step-edm" / "records-0.jsonl"
    while not (records.exists() and records.read_bytes().count(b"\n")):
        assert killed.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert 0 < len(certified(tmp_path / "killed")) < 6
    for start, name in ((alone, "killed"), (alone, "alone"), (two, "two")):
        subprocess.run(command(start, name), check=True, cwd=ROOT)
    assert len(certified(tmp_path / "alone")) == 6
    assert certified(tmp_path / "killed") == certified(tmp_path / "alone") == certified(tmp_path / "two")


def test_check_gradient_ends_with_exit_code_one_when_a_gradient_is_wrong(monkeypatch, capsys):
    """What is compared is held by tests/runs/test_gradient_check.py; here it is what the command makes of it."""
    found = [
        Comparison("exact", 1e-6, 1e-7, 1.0),
        Comparison("BPDA", None, None, 0.3),
        Comparison("soft t", 0.2, 0.0, 1.0),
    ]
    monkeypatch.setattr(check_gradient, "compare", lambda *_: iter(found))
    monkeypatch.setattr(check_gradient, "compare_slopes", lambda *_: iter([Slopes("exact", 1e-3, 1e-2, 1e-3)]))
    config = str(ROOT / "configs" / "ssni_n_digits.py")
    with pytest.raises(SystemExit) as stop:
        main(["check-gradient", config])
    assert stop.value.code == 1
    assert "Above 0.0001: soft t." in capsys.readouterr().out
    found.pop()
    main(["check-gradient", config])
    shown = capsys.readouterr().out
    assert "Every exact mode is within 0.0001." in shown and "stand-in" in shown


def test_bench_prints_the_cost_report_and_one_json_line(tmp_path, monkeypatch, capsys):
    part = {"seconds_per_image": 0.02, "nfe_per_image": 100.0, "images_per_second": 50.0, "compile_seconds": 1.0}
    part |= {
        "share": {"score_norm": 0.25, "solve": 0.75},
        "gflop_per_image": 1.0,
        "achieved_gflop_per_second": 9.87654321,
    }
    report = {"defense": part | {"seconds_per_image": 0.01}, "base": part, "score_norm_adds_seconds": 0.004}
    report |= {"ragged_time_saves_seconds": 0.02, "seconds_per_image_all_steps": 0.03, "nfe_per_image_all_steps": 125.0}
    monkeypatch.setattr(bench, "cost_report", lambda *_: report)
    main(
        ["bench", str(ROOT / "configs" / "ssni_n_digits.py"), "--n-images", "8", "--out", str(tmp_path / "bench.json")]
    )
    *table, line = capsys.readouterr().out.splitlines()
    assert any("ragged" in row and "0.50" in row for row in table)
    assert "the score norm adds 4.00 ms an image, ragged time saves 20.00 ms" in table
    assert json.loads(line) == json.loads((tmp_path / "bench.json").read_text())
    assert json.loads(line)["defense"]["achieved_gflop_per_second"] == 9.877
