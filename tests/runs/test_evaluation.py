"""An evaluation on disk: complete, exactly once, and the same after a kill."""

import dataclasses
import json
import os
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import HeldEot, Linf, Pgd
from ssni_jax.core.arrays import over
from ssni_jax.core.pytree import pytree
from ssni_jax.data import Digits
from ssni_jax.experiments.experiment import Evaluation
from ssni_jax.jobs.evaluate import differentiated, gradient_name, run_evaluation
from ssni_jax.journal.records import merge_records
from ssni_jax.journal.rows import summarise
from ssni_jax.journal.status import is_complete
from ssni_jax.journal.workdir import load_results
from ssni_jax.purify import Defense, Rounded, ScoreNorm, SsniSigmoid, StraightThrough, StraightThroughTime
from ssni_jax.recipes import diffpure_ddpm
from ssni_jax.schedules import VP

N_IMAGES = 20


@pytree
class Shrink:
    """A Gaussian denoiser."""

    std: float = 0.7

    def __call__(self, x, sigma):
        return over(self.std**2 / (self.std**2 + jnp.square(sigma)), x) * x


@pytree
class Linear:
    """Logits from fixed random directions."""

    weight: np.ndarray

    def __call__(self, x):
        return x.reshape(x.shape[0], -1) @ self.weight


@pytest.fixture(scope="module")
def experiment():
    base = diffpure_ddpm(Shrink(), n_steps=5)
    level = Rounded(SsniSigmoid(mean=14.0, tau=2.0))
    rounds = (dataclasses.replace(base.rounds[0], level=level),)
    purify = dataclasses.replace(base, rounds=rounds, deviation=ScoreNorm(Shrink(), VP(), 2))
    weight = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)
    attack = Pgd(Linf(0.1), step_size=0.05, n_steps=2, gradient=HeldEot(2))
    return Evaluation(
        "toy", Defense(purify, Linear(weight)), Digits("calibration"), attack, surrogate_steps=2,
        n_images=N_IMAGES, batch_size=8, n_slots=4, n_draws=2, n_pictures=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(experiment, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    run_evaluation(experiment, experiment.defense, workdir, "ssni evaluate toy")
    return workdir


def without_time(records):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


def test_every_image_has_one_record(finished):
    assert [record["id"] for record in merge_records(finished)] == list(range(N_IMAGES))
    assert is_complete(finished)


def test_the_adversarial_images_stay_in_the_ball_and_are_kept(finished, experiment):
    batches = [np.load(path) for path in sorted(finished.glob("adversarial-0/*.npz"))]
    images = {int(id): image for batch in batches for id, image in zip(batch["id"], batch["image"], strict=True)}
    assert sorted(images) == list(range(N_IMAGES))
    changes = [np.abs(images[id] - experiment.images[id]["image"]).max() for id in images]
    assert max(changes) <= 0.1 + 1e-6
    assert max(changes) > 0.05


def test_calls_are_the_score_norm_plus_the_steps_of_each_t(finished):
    for record in merge_records(finished):
        assert record["clean_nfe"] == 2 + np.ceil(round(record["clean_t"][0] / 0.02, 3))


def test_a_killed_run_resumes_to_the_same_result(finished, experiment, tmp_path):
    workdir = tmp_path / "killed"
    run_evaluation(dataclasses.replace(experiment), experiment.defense, workdir, "x")
    records = workdir / "records-0.jsonl"
    lines = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(b"".join(lines[:11]) + lines[11][:30])
    assert not is_complete(workdir)
    run_evaluation(experiment, experiment.defense, workdir, "x")
    assert without_time(merge_records(workdir)) == without_time(merge_records(finished))


def test_a_run_killed_after_its_last_record_still_gets_its_curve(experiment, finished, tmp_path):
    workdir = tmp_path / "killed"
    shutil.copytree(finished, workdir)
    run = json.loads((workdir / "run.json").read_text())
    curve = run.pop("level_curve")
    (workdir / "run.json").write_text(json.dumps(run))
    run_evaluation(experiment, experiment.defense, workdir, "x")
    assert json.loads((workdir / "run.json").read_text())["level_curve"] == curve
    assert merge_records(workdir) == merge_records(finished)


def test_a_full_disk_is_one_sentence_and_loses_nothing(experiment, finished, tmp_path, monkeypatch):
    write, calls = os.write, []

    def full_at_second_batch(file, content):
        if content.startswith(b'{"id"'):
            calls.append(1)
            if len(calls) == 2:
                write(file, content[:40])
                raise OSError(28, "No space left on device")
        return write(file, content)

    monkeypatch.setattr(os, "write", full_at_second_batch)
    with pytest.raises(OSError, match="free space on its disk and run the same command again to resume"):
        run_evaluation(experiment, experiment.defense, tmp_path, "x")
    assert len(merge_records(tmp_path)) == 8
    monkeypatch.undo()
    run_evaluation(experiment, experiment.defense, tmp_path, "x")
    assert without_time(merge_records(tmp_path)) == without_time(merge_records(finished))


def test_a_workdir_of_another_config_or_network_is_refused(finished, experiment):
    other = dataclasses.replace(experiment, seed=1)
    with pytest.raises(ValueError, match="seed = 0, not 1"):
        run_evaluation(other, experiment.defense, finished, "x")
    retrained = dataclasses.replace(experiment.defense, classify=Linear(experiment.defense.classify.weight + 1))
    with pytest.raises(ValueError, match=r"networks\.classify"):
        run_evaluation(experiment, retrained, finished, "x")


def test_results_say_how_they_were_made(finished):
    run = load_results(finished).run
    assert run["gradient"] == "surrogate of 2 steps a round"
    assert run["attack"]["gradient"]["kind"] == "HeldEot"
    assert {"version", "jax", "devices", "seed", "compile_seconds", "level_curve"} <= run.keys()
    assert json.loads((finished / "experiment.json").read_text())["attack"]["threat"]["eps"] == 0.1


def test_the_row_agrees_with_the_records(finished):
    records = merge_records(finished)
    row = summarise("toy", records)
    assert row["clean"] == np.mean([record["clean_prediction"] == record["label"] for record in records])
    assert row["clean_ci"][0] <= row["clean"] <= row["clean_ci"][1]
    assert row["n_draws"] == 2


def test_nan_logits_make_an_image_invalid_not_robust(experiment, tmp_path):
    broken = np.full((64, 10), np.nan, np.float32)
    defense = dataclasses.replace(experiment.defense, classify=Linear(broken))
    few = dataclasses.replace(experiment, defense=defense, n_images=3)
    run_evaluation(few, defense, tmp_path, "x")
    row = summarise("broken", merge_records(tmp_path))
    assert (row["n_invalid"], row["clean"], row["robust"]) == (3, 0.0, 0.0)


def test_the_attack_takes_the_chosen_gradient_and_results_name_it(experiment):
    chosen = dataclasses.replace(experiment, gradient=StraightThroughTime())
    assert gradient_name(chosen) == "surrogate of 2 steps a round, straight-through t"
    assert gradient_name(dataclasses.replace(chosen, surrogate_steps=None)) == "straight-through t"
    attacked = differentiated(chosen, experiment.defense).purify.rounds[0]
    assert isinstance(attacked.level, StraightThrough) and attacked.grid.n_steps == 2
    assert (
        differentiated(dataclasses.replace(experiment, surrogate_steps=None), experiment.defense) is experiment.defense
    )
