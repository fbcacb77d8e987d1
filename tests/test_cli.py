"""The command line: what it prints, writes and refuses."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ssni_jax import purify
from ssni_jax.cli import COMMANDS, divide_the_cpu, main
from ssni_jax.commands import bench, check_gradient, sanity
from ssni_jax.data import Digits, read_image, write_image
from ssni_jax.evals.gradient_check import ModeCheck, Slopes
from ssni_jax.evals.suspect import Check
from ssni_jax.journal.evaluation import load_evaluated
from ssni_jax.presets import SETTINGS
from ssni_jax.zoo import bundled_path

ROOT = Path(__file__).parent.parent
SWEEPS = sorted((ROOT / "configs").glob("sweep_*.py"))
CONFIGS = sorted({*(ROOT / "configs").glob("*.py")} - {*SWEEPS})
TOY = {
    name: str(ROOT / "tests" / "configs" / f"toy_{name}.py") for name in ("evaluation", "certification", "calibration")
}
TINY = ["--n-images", "8", "--n-draws", "1", "--attack.n-steps", "1", "--objective.differentiate.n-steps", "1"]


def refused(capsys, *arguments) -> str:
    """The one sentence of a refusal."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
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


@pytest.mark.parametrize(("cores", "chosen", "expected"), [(2, -1, 2), (64, -1, 4), (2, 3, 3)])
def test_a_cpu_is_divided_unless_its_devices_are_chosen(cores, chosen, expected, monkeypatch):
    config = SimpleNamespace(values={"jax_num_cpu_devices": chosen})
    config.update = config.values.__setitem__
    monkeypatch.setattr("jax.config", config)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(cores))
    divide_the_cpu()
    assert config.values["jax_num_cpu_devices"] == expected


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
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["0.png", "1.png", "2.png", "purified.jsonl"]


@pytest.mark.slow
def test_one_image_gets_the_same_pixels_alone_as_in_its_folder(folder, tmp_path):
    main(["purify", str(folder), str(tmp_path / "out")])
    main(["purify", str(folder / "0.png"), str(tmp_path / "alone.png")])
    alone, among = read_image(tmp_path / "alone.png", 1), read_image(tmp_path / "out" / "0.png", 1)
    assert np.max(np.abs(alone - among)) <= 1 / 255 + 1e-6


@pytest.mark.slow
def test_the_python_call_keeps_shape_range_and_seed():
    images = Digits("test").images[:2]
    once, other = purify(images, seed=3), purify(images, seed=4)
    assert once.shape == images.shape and once.min() >= 0 and once.max() <= 1
    assert np.abs(once - other).max() > 1e-3
    np.testing.assert_allclose(purify(images[0], seed=3), once[0], atol=1e-5)


def test_what_is_no_image_is_named(tmp_path, capsys):
    (tmp_path / "x.png").write_text("<html>")
    assert "x.png cannot be read as an image" in refused(capsys, "purify", tmp_path / "x.png", tmp_path / "o.png")


def test_a_colour_image_for_a_grey_network_is_named(tmp_path, capsys):
    write_image(tmp_path / "c.png", np.random.default_rng(0).random((8, 8, 3)))
    assert "has colours" in refused(capsys, "purify", tmp_path / "c.png", tmp_path / "o.png")


@pytest.mark.slow
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
    assert "holds no image file" in refused(capsys, "purify", tmp_path / "empty", tmp_path / "o")
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
    kinds |= {"import ReferenceNorms": "calibrate"}
    command = next(command for kind, command in kinds.items() if kind in config.read_text())
    with pytest.raises(SystemExit) as stop:
        main([command, str(config), "--fields"])
    assert stop.value.code == 0
    assert "--seed" in capsys.readouterr().out


@pytest.mark.parametrize("config", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_builds_and_lists_its_cells(config, tmp_path, capsys, data_of_configs):
    workdir = tmp_path / "run"
    main(["sweep", str(config), "--workdir", str(workdir), "--list"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len({*lines}) > 5 and all(line.endswith(" images") for line in lines)
    assert refused(capsys, "sweep", config, "--workdir", workdir, "--only", "none such")
    assert not list(workdir.glob("*"))


def test_data_that_do_not_fit_the_networks_or_lack_labels_are_named(tmp_path, capsys):
    images = np.zeros((3, 9, 9, 1), np.uint8)
    np.savez(tmp_path / "big.npz", images=images, labels=np.arange(3))
    np.savez(tmp_path / "unlabelled.npz", images=images)
    text = (ROOT / "configs" / "diffpure_digits.py").read_text().replace("import Digits", "import Npz")
    for name, words in (("big", "9 x 9 x 1"), ("unlabelled", "has no labels")):
        config = tmp_path / f"{name}.py"
        config.write_text(text.replace('Digits("test")', f"Npz({str(tmp_path / name) + '.npz'!r})"))
        assert words in refused(capsys, "evaluate", config, "--workdir", tmp_path / "w")


def test_an_evaluation_runs_resumes_is_reported_and_judged(tmp_path, capsys):
    command = ["evaluate", TOY["evaluation"], "--workdir", str(tmp_path / "w"), *TINY]
    main(command)
    assert "8 of 8 images" in capsys.readouterr().out
    main(command)
    main(["status", str(tmp_path / "w")])
    assert "complete" in capsys.readouterr().out
    main(["report", str(tmp_path / "w")])
    assert "toy" in (tmp_path / "w" / "report.html").read_text()
    error = refused(capsys, *command, "--seed", "5")
    assert "seed = 0, not 5" in error
    judged = ["--adversarial", str(tmp_path / "w"), "--workdir", str(tmp_path / "judged"), *TINY[:4]]
    main(["judge", TOY["evaluation"], *judged])
    assert "8 of 8 images" in capsys.readouterr().out
    one, other = (load_evaluated(tmp_path / name).records for name in ("w", "judged"))
    assert [record["draws"] for record in one] == [record["draws"] for record in other]


@pytest.mark.parametrize("name", ["cifar10-edm-0.25", "cifar10-consistency-1.0", "cifar10-linf-gdmp"])
def test_a_papers_setting_is_evaluated(name, tmp_path, capsys):
    """Its clean accuracy; the slow test attacks it too."""
    evaluated_setting(name, tmp_path, capsys, "None")


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_every_papers_setting_is_evaluated(name, tmp_path, capsys):
    evaluated_setting(name, tmp_path, capsys, "Pgd(Linf(0.1), 0.05, 1)")


def evaluated_setting(name, tmp_path, capsys, attack):
    """`ssni evaluate` of a paper's setting over the digits networks, in one step per round."""
    config = tmp_path / "setting.py"
    config.write_text(SETTING.format(name=name, attack=attack))
    main(["evaluate", str(config), "--workdir", str(tmp_path / "w")])
    shown = capsys.readouterr().out
    assert "4 of 4 images" in shown and "complete" in shown
    n_votes = SETTINGS[name][1]
    drawn = "clean_draws" if attack == "None" else "draws"
    assert all(len(record[drawn]) == n_votes for record in load_evaluated(tmp_path / "w").records)


SETTING = """
from ssni_jax.attacks import Linf, Objective, Pgd
from ssni_jax.data import Digits
from ssni_jax.experiments import Evaluation
from ssni_jax.presets import setting
from ssni_jax.zoo import Pretrained

predict = setting("{name}", Pretrained("digits-score"), Pretrained("digits-classifier")).with_steps(1)
experiment = Evaluation("setting", predict, Digits("test"), {attack}, n_images=4, batch_size=4)
"""


@pytest.mark.slow
def test_training_exports_a_network(tmp_path, capsys):
    tiny = ["--n-steps", "2", "--batch-size", "8", "--every", "1"]
    main(["train", str(ROOT / "configs" / "train_classifier_digits.py"), "--workdir", str(tmp_path / "t"), *tiny])
    shown = capsys.readouterr().out
    assert "digits-classifier.safetensors" in shown and "2/2 steps" in shown
    assert (tmp_path / "t" / "digits-classifier.safetensors").exists()


@pytest.mark.slow
def test_a_stored_network_is_calibrated_beside_itself(tmp_path, capsys):
    for file in bundled_path().glob("digits-score.*"):
        shutil.copy(file, tmp_path)
    network = str(tmp_path / "digits-score")
    main(["calibrate", network, "--n-levels", "1", "--images", "published"])
    calibration = json.loads(Path(network + ".calibration.json").read_text())
    assert len(calibration["norms"]) == 200 and calibration["images"] == "200 of 200 images"
    assert {"mean", "low", "high", "seed", "network", "data", "deviation"} <= calibration.keys()
    assert not list(tmp_path.glob(".*journal"))


def test_a_config_calibrates_any_deviation(tmp_path, capsys):
    out = tmp_path / "norms.json"
    main(["calibrate", TOY["calibration"], "--out", str(out), "--n-images", "20"])
    calibration = json.loads(out.read_text())
    assert calibration["deviation"]["n_levels"] == 2 and len(calibration["norms"]) == 20
    assert "give" not in capsys.readouterr().err
    assert "say where to write with --out" in refused(capsys, "calibrate", TOY["calibration"])


def test_methods_are_certified_side_by_side_and_resume(tmp_path, capsys):
    config = tmp_path / "two.py"
    config.write_text(
        "import dataclasses\nfrom tests.configs.toy import certification as toy\n"
        "experiments = tuple(dataclasses.replace(toy, name=n) for n in ('First method', 'Second'))\n"
    )
    tiny = ["--n-images", "2", "--n-selection", "4", "--n-estimation", "12", "--sigmas", "0.5", "--batch-size", "32"]
    command = ["certify", str(config), "--workdir", str(tmp_path / "w"), *tiny]
    main(command)
    shown = capsys.readouterr().out
    assert "First method: 2 of 2 images at sigma 0.5" in shown and "Second: 2 of 2 images" in shown
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["first-method", "second"]
    units = sorted((tmp_path / "w" / "second" / "units").iterdir())
    before = [path.read_bytes() for path in units]
    main(command)
    assert [path.read_bytes() for path in units] == before
    assert "n_estimation = 12, not 13" in refused(capsys, *command, "--n-estimation", "13")
    main([*command, "--only", "Second"])
    assert "no method 'Third': choose one of First method, Second" in refused(capsys, *command, "--only", "Third")


def test_draws_that_cannot_certify_are_named_with_the_number_that_could(tmp_path, capsys):
    command = ["certify", ROOT / "configs" / "certify_digits.py", "--workdir", tmp_path / "w", "--n-estimation", "9"]
    assert "the smallest number that could is 10" in refused(capsys, *command)
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "script", ["ragged.py", "gradient.py", "certify.py", "train.py", "attacks.py", "accelerator.py"]
)
def test_a_benchmark_prints_one_json_line(script):
    small = {"ragged.py": ["--images", "16", "--slots", "4"], "gradient.py": ["--steps", "4", "--images", "4"]}
    small["certify.py"] = ["--images", "2", "--n-estimation", "100"]
    small["train.py"] = ["--steps", "2", "--batch-size", "8"]
    small["attacks.py"] = ["--images", "8", "--steps", "2", "--repeats", "1", "--only", "pgd"]
    small["accelerator.py"] = ["--small", "--repeats", "1", "--only", "forward"]
    command = [sys.executable, str(ROOT / "benchmarks" / script), *small[script]]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert len(out.splitlines()) == 1
    assert json.loads(out)["benchmark"] == script.removesuffix(".py")


def test_check_gradient_ends_with_exit_code_one_when_a_gradient_is_wrong(monkeypatch, capsys):
    """What is compared is held by tests/evals/test_gradient_check.py; here it is what the command makes of it."""
    rows = [
        ModeCheck("exact", 1e-6, 1e-7, 1.0),
        ModeCheck("BPDA", None, None, 0.3),
        ModeCheck("soft t", 0.2, 0.0, 1.0),
    ]
    monkeypatch.setattr(check_gradient, "compare", lambda *_: iter(rows))
    monkeypatch.setattr(check_gradient, "compare_slopes", lambda *_: iter([Slopes("exact", 1e-3, 1e-2, 1e-3)]))
    config = str(ROOT / "configs" / "ssni_n_digits.py")
    with pytest.raises(SystemExit) as stop:
        main(["check-gradient", config])
    assert stop.value.code == 1
    assert "Above 0.0001: soft t." in capsys.readouterr().out
    rows.pop()
    main(["check-gradient", config])
    shown = capsys.readouterr().out
    assert "Every exact mode is within 0.0001." in shown and "stand-in" in shown and "exactly zero" not in shown
    rows[0] = ModeCheck("exact", 0.0, 0.0, float("nan"))
    main(["check-gradient", config])
    assert "The gradient of an image is exactly zero" in capsys.readouterr().out


def test_sanity_prints_a_table_writes_it_and_ends_with_exit_code_one_when_a_check_failed(tmp_path, monkeypatch, capsys):
    """What is checked is held by tests/evals/test_sanity.py; here it is what the commands make of it."""
    rows = [Check("larger eps", "pass", "It falls.", {"0": 1.0}), Check("more EOT", "fail", "It finds more.", {})]
    monkeypatch.setattr(sanity, "checks", lambda suspect: iter(rows))
    command = ["sanity", TOY["evaluation"], "--n-images", "8", "--out", str(tmp_path / "sanity.json")]
    with pytest.raises(SystemExit) as stop:
        main([*command, "--attack.threat.eps", "0.2"])
    assert stop.value.code == 1
    shown = capsys.readouterr().out
    assert "more EOT" in shown and "It finds more." in shown and "Next: " in shown
    written = json.loads((tmp_path / "sanity.json").read_text())
    assert [check["verdict"] for check in written["checks"]] == ["pass", "fail"] and written["n_images"] == 8
    rows.pop()
    main(command)
    assert "Next: ssni evaluate" in capsys.readouterr().out
    main(["evaluate", TOY["evaluation"], "--workdir", str(tmp_path / "w"), "--sanity", *TINY])
    assert (tmp_path / "w" / "sanity.json").exists()
    main(["report", str(tmp_path / "w")])
    assert "It falls." in (tmp_path / "w" / "report.html").read_text()


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
    assert "the score norm adds 4.00 ms per image, ragged time saves 20.00 ms" in table
    assert json.loads(line) == json.loads((tmp_path / "bench.json").read_text())
    assert json.loads(line)["defense"]["achieved_gflop_per_second"] == 9.877
