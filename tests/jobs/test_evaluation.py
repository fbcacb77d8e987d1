"""An evaluation on disk: complete, exactly once, the same after a kill, and extended instead of repeated."""

import dataclasses
import itertools
import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import Linf, Objective, Pgd
from ssni_jax.core.pytree import pytree
from ssni_jax.data import AdversarialImages, Digits, Npz
from ssni_jax.experiments import Evaluation
from ssni_jax.jobs.attack import Attacking
from ssni_jax.jobs.evaluate import evaluate
from ssni_jax.journal.evaluation import load_evaluated
from ssni_jax.journal.rows import summarise
from ssni_jax.journal.status import is_complete, status
from ssni_jax.lifecycle import Stopper
from ssni_jax.purify import Defense, Rounded, ScoreNorm, SsniSigmoid, Surrogate, Vote, predictor
from ssni_jax.purify.predictors import Predictor
from ssni_jax.recipes import diffpure_ddpm
from ssni_jax.schedules import VP
from tests.kit import Gaussian, Linear

N_IMAGES = 20


@pytest.fixture(scope="module")
def experiment():
    base = diffpure_ddpm(Gaussian(0.7), n_steps=5)
    level = Rounded(SsniSigmoid(mean=14.0, tau=2.0))
    rounds = (dataclasses.replace(base.rounds[0], level=level),)
    purify = dataclasses.replace(base, rounds=rounds, deviation=ScoreNorm(Gaussian(0.7), VP(), 2))
    weight = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)
    objective = Objective(n_draws=2, hold=True, differentiate=Surrogate(2))
    return Evaluation(
        "toy", Defense(purify, Linear(weight)), Digits("calibration"), Pgd(Linf(0.1), 0.05, 2), objective,
        n_images=N_IMAGES, batch_size=8, n_slots=4, n_draws=2, n_pictures=2, judge_every=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(experiment, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    run(experiment, workdir)
    return workdir


def run(experiment, workdir, predict=None):
    evaluate(experiment, predict or experiment.defense, workdir, Stopper("ssni evaluate toy"))
    return load_evaluated(workdir).records


def lose_units(workdir, n):
    """As after a kill: the last n units were never written."""
    for path in sorted((workdir / "units").glob("*.jsonl"))[-n:]:
        path.unlink()


def without_time(records):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


def test_every_image_has_one_record_in_the_planned_order_of_a_permutation(finished, experiment):
    order = np.random.RandomState(0).permutation(200)[:N_IMAGES]
    assert [record["id"] for record in load_evaluated(finished).records] == sorted(order.tolist())
    assert load_evaluated(finished).run["ids"] == order.tolist() and is_complete(finished)


def test_fewer_images_are_the_first_of_more(experiment):
    few = dataclasses.replace(experiment, n_images=7)
    assert experiment.ids[:7] == few.ids
    assert dataclasses.replace(few, order_seed=None).ids == list(range(7))


def test_every_record_carries_the_hash_of_its_experiment(finished):
    identity = json.loads((finished / "experiment.json").read_text())["hash"]
    assert {record["experiment"] for record in load_evaluated(finished).records} == {identity}


def test_the_adversarial_images_stay_in_the_ball_and_are_kept(finished, experiment):
    given = AdversarialImages(str(finished))
    assert given.ids == sorted(experiment.ids)
    changes = [np.abs(given[id]["image"] - experiment.images[id]["image"]).max() for id in given.ids]
    assert max(changes) <= 0.1 + 1e-6
    assert max(changes) > 0.05


def test_calls_are_the_score_norm_plus_the_steps_of_each_t(finished):
    for record in load_evaluated(finished).records:
        assert record["clean_nfe"] == 2 + np.ceil(round(record["clean_t"][0] / 0.02, 3))


def test_a_killed_run_resumes_to_the_same_result(finished, experiment, tmp_path):
    shutil.copytree(finished, tmp_path / "killed")
    lose_units(tmp_path / "killed", 2)
    assert not is_complete(tmp_path / "killed")
    assert without_time(run(experiment, tmp_path / "killed")) == without_time(load_evaluated(finished).records)


@pytest.mark.slow
def test_other_batches_give_the_same_predictions(finished, experiment, tmp_path):
    shutil.copytree(finished, tmp_path / "killed")
    lose_units(tmp_path / "killed", 2)
    other = run(dataclasses.replace(experiment, batch_size=5, n_slots=3), tmp_path / "killed")
    for mine, theirs in zip(other, load_evaluated(finished).records, strict=True):
        assert mine["clean_label"] == theirs["clean_label"] and mine["clean_t"] == theirs["clean_t"]


def test_more_images_and_draws_extend_a_run(finished, experiment, tmp_path):
    fewer = dataclasses.replace(experiment, n_images=8, n_draws=1)
    first = run(fewer, tmp_path)
    records = {record["id"]: record for record in run(experiment, tmp_path)}
    for record in first:
        assert records[record["id"]]["draws"][:1] == record["draws"] and len(records[record["id"]]["draws"]) == 2
        assert records[record["id"]]["clean_t"] == record["clean_t"]
    expected = {record["id"]: record["draws"] for record in load_evaluated(finished).records}
    assert {id: record["draws"] for id, record in records.items()} == expected
    assert is_complete(tmp_path)


def test_the_attack_leaves_its_curve_and_the_level_curve_is_the_one_used(finished):
    results = load_evaluated(finished)
    assert len(results.curves) == 3 and all(len(curve["loss"]) == len(curve["broken"]) == 2 for curve in results.curves)
    (curve,) = results.run["level_curves"]
    norms = [record["clean_norm"] for record in results.records]
    t = [record["clean_t"][0] for record in results.records]
    np.testing.assert_allclose(np.interp(norms, curve["norm"], curve["t"]), t, atol=2e-3)


def test_a_full_disk_is_one_sentence_and_loses_nothing(experiment, finished, tmp_path, monkeypatch):
    link, calls = os.link, []

    def full_at_second_unit(part, path):
        calls.append(1) if path.suffix == ".jsonl" else None
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return link(part, path)

    monkeypatch.setattr(os, "link", full_at_second_unit)
    with pytest.raises(OSError, match="free space on its disk and run the same command again to resume"):
        run(experiment, tmp_path)
    monkeypatch.undo()
    assert len(load_evaluated(tmp_path).records) == 8
    assert without_time(run(experiment, tmp_path)) == without_time(load_evaluated(finished).records)


def test_a_workdir_of_another_config_or_network_is_refused(finished, experiment):
    with pytest.raises(ValueError, match="seed = 0, not 1"):
        run(dataclasses.replace(experiment, seed=1), finished)
    retrained = dataclasses.replace(experiment.defense, classify=Linear(experiment.defense.classify.weight + 1))
    with pytest.raises(ValueError, match=r"networks\.predict"):
        run(experiment, finished, retrained)


def test_data_replaced_under_the_same_path_are_refused(experiment, tmp_path):
    digits = Digits("calibration")
    np.savez(tmp_path / "images.npz", images=digits.images[:8], labels=digits.labels[:8])
    few = dataclasses.replace(experiment, images=Npz(str(tmp_path / "images.npz")), n_images=4, attack=None)
    run(few, tmp_path / "run")
    changed = few.images.labels.copy()
    changed[0] += 1
    other = Npz(str(tmp_path / "other.npz"))
    np.savez(tmp_path / "other.npz", images=digits.images[:8], labels=changed)
    shutil.move(tmp_path / "other.npz", tmp_path / "images.npz")
    assert other.path != few.images.path
    fresh = Npz(str(tmp_path / "images.npz"), stop=8)  # read anew: an Npz is read once per process
    with pytest.raises(ValueError, match=r"(images\.stop|data\.images)"):
        run(dataclasses.replace(few, images=fresh), tmp_path / "run")


def test_results_say_how_they_were_made(finished):
    run = load_evaluated(finished).run
    assert run["gradient"] == "surrogate of 2 steps per round"
    assert run["objective"]["hold"] and run["attack"]["kind"] == "Pgd"
    assert {"version", "jax", "devices", "seed", "matmul_precision", "level_curves"} <= run.keys()
    stored = json.loads((finished / "experiment.json").read_text())
    assert stored["attack"]["threat"] == {
        "kind": "ssni_jax.attacks.Linf", "eps": 0.1, "direction": {"kind": "ssni_jax.attacks.Sign"}
    }  # fmt: skip


def test_the_row_agrees_with_the_records(finished):
    records = load_evaluated(finished).records
    row = summarise("toy", records)
    assert row["clean"] == np.mean([record["clean_label"] == record["label"] for record in records])
    assert row["clean_ci"][0] <= row["clean"] <= row["clean_ci"][1]
    assert row["n_draws"] == 2 and row["fixed_key"] is not None


def test_a_nan_of_the_attack_does_not_lower_clean_accuracy(experiment, tmp_path):
    """Logits are NaN for bright images, which only the attack makes."""

    @pytree
    class Breaks:
        weight: np.ndarray

        def __call__(self, x):
            return jnp.where(jnp.max(x, axis=(1, 2, 3))[:, None] > 1.001, jnp.nan, x.reshape(len(x), -1) @ self.weight)

    weight = experiment.defense.classify.weight

    @pytree
    class Brighten:
        n_iterations = 1

        def init(self, keys, objective, x, y):
            return x

        def update(self, keys, i, objective, state, x, y):
            return state + 0.1

        def result(self, state):
            from ssni_jax.attacks import Attacked

            zero = jnp.zeros(len(state))
            return Attacked(state, zero, zero, zero.astype(int))

    clean = predictor(Breaks(weight))
    few = dataclasses.replace(experiment, defense=clean, attack=Brighten(), n_images=4)
    run(few, tmp_path)
    row = summarise("broken", load_evaluated(tmp_path).records)
    assert (row["n_invalid"], row["n_invalid_adversarial"], row["robust"]) == (0, 4, 0.0)
    assert "0 clean and 4 adversarial images" in status(tmp_path)


def test_without_an_attack_clean_accuracy_stands_alone(experiment, tmp_path):
    records = run(dataclasses.replace(experiment, attack=None, n_images=8), tmp_path)
    row = summarise("clean", records)
    assert row["clean"] is not None and row["robust"] is None and row["n_draws"] == 0
    assert is_complete(tmp_path) and "robust" not in status(tmp_path)


def test_judging_after_no_iterations_is_refused(experiment):
    with pytest.raises(ValueError, match="judge_every must be at least 1, got 0"):
        dataclasses.replace(experiment, judge_every=0)


def test_a_vote_is_evaluated_draw_by_draw(experiment, tmp_path):
    vote = Vote(experiment.defense, 3)
    records = run(dataclasses.replace(experiment, defense=vote, n_images=8, n_draws=4), tmp_path)
    assert all(len(record["draws"]) == 6 and len(record["answers"]) == 2 for record in records)
    assert all(len(record["clean_draws"]) == 3 for record in records)
    assert summarise("vote", records)["resubmission"][-1]["m"] == 6


def test_saved_adversarial_images_are_judged_on_another_predictor(finished, experiment, tmp_path):
    given = AdversarialImages(str(finished))
    bare = dataclasses.replace(
        experiment, defense=predictor(experiment.defense.classify), attack=None, adversarial=given
    )
    records = run(bare, tmp_path)
    expected = {record["id"]: record["undefended_label"] for record in load_evaluated(finished).records}
    assert {record["id"]: record["draws"][0] for record in records} == expected
    foreign = dataclasses.replace(bare, n_images=50)
    with pytest.raises(ValueError, match="has no adversarial image of image"):
        run(foreign, tmp_path)


@pytree
class Lottery(Predictor):
    """The answer follows from the key alone, one of 64."""

    def trace(self, keys, x, save=None):
        return predictor(lambda x: jax.vmap(lambda key: jax.random.normal(key, (64,)))(keys)).trace(keys, x)


def test_iterates_are_judged_to_the_last_under_keys_of_their_own_and_change_no_other_number(experiment, tmp_path):
    lottery = {"defense": Lottery(), "attack": Pgd(n_steps=5), "objective": Objective()}
    drawn = dataclasses.replace(experiment, **lottery, n_draws=6)
    records = run(dataclasses.replace(drawn, judge_every=2), tmp_path / "judged")
    (curve, *_) = load_evaluated(tmp_path / "judged").curves
    assert curve["judged"] == [2, 4, 5] and len(curve["answered_wrong"]) == 3
    for record, other in zip(records, run(dataclasses.replace(drawn, judge_every=None), tmp_path / "not"), strict=True):
        assert record | {"experiment": "", "seconds": 0} == other | {
            "experiment": "", "seconds": 0, "iterates": record["iterates"]
        }  # fmt: skip
    labels = [[r["clean_label"], r["fixed_key_label"], *r["draws"], *r["iterates"]] for r in records]
    assert all(np.mean(a != b) > 0.5 for a, b in itertools.combinations(np.transpose(labels), 2))


@pytest.mark.slow
def test_an_attack_goes_on_from_its_saved_state(finished, experiment, tmp_path, monkeypatch):
    """A stop between two iterations saves the state; the next run makes the rest alone, and ends the same."""

    class Interrupted(Stopper):
        def leave(self, number):
            raise SystemExit(75)

    interrupted = Interrupted("x")
    interrupted.asked = None
    summary = Attacking._summary

    def stop_after_first(self, *seen):
        interrupted.asked = 15
        return summary(self, *seen)

    monkeypatch.setattr(Attacking, "_summary", stop_after_first)
    with pytest.raises(SystemExit):
        evaluate(experiment, experiment.defense, tmp_path, interrupted)
    monkeypatch.undo()
    assert len(list((tmp_path / "states").glob("*.npz"))) == 1
    evaluate(experiment, experiment.defense, tmp_path, Stopper("x"))
    assert without_time(load_evaluated(tmp_path).records) == without_time(load_evaluated(finished).records)
    assert not list((tmp_path / "states").glob("*.npz"))
