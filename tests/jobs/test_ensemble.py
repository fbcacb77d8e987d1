"""An evaluation under an ensemble: later attacks run on what stands, and a killed run ends as an uninterrupted one."""

import dataclasses
import itertools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import Apgd, Ensemble, Linf, Margin, Objective, Pgd, Square, Targeted, WithLoss
from ssni_jax.attacks.ensemble import Untouched, autoattack
from ssni_jax.core.pytree import pytree
from ssni_jax.data import AdversarialImages, Digits, Npz
from ssni_jax.evals.attacked import make_driver
from ssni_jax.experiments import Evaluation
from ssni_jax.jobs.ensemble_job import EnsembleJob
from ssni_jax.jobs.evaluate import evaluate
from ssni_jax.jobs.programs import structure_of
from ssni_jax.journal.ensemble import Stages
from ssni_jax.journal.evaluation import load_evaluated
from ssni_jax.journal.status import status
from ssni_jax.journal.units import Journal
from ssni_jax.lifecycle import Stopper
from ssni_jax.purify import predictor
from ssni_jax.purify.predictors import Predictor
from tests.configs.toy import templates
from tests.kit import Linear

N_IMAGES, BATCH, THREAT = 24, 8, Linf(0.06)
ATTACKS = {
    "apgd": WithLoss(Apgd(THREAT, n_steps=4), Margin()),
    "apgd-t1": Targeted(Apgd(THREAT, n_steps=4), 1),
    "apgd-t2": Targeted(Apgd(THREAT, n_steps=4), 2),
    "square": WithLoss(Square(THREAT, n_queries=20), Margin()),
}


@pytest.fixture(scope="module")
def experiment():
    ensemble = Ensemble(tuple(ATTACKS.values()), tuple(ATTACKS))
    sizes = {"n_images": N_IMAGES, "batch_size": BATCH, "n_pictures": 1, "judge_every": 3}
    return Evaluation("toy", predictor(Linear(templates())), Digits("test"), ensemble, Objective(), **sizes)


@pytest.fixture(scope="module")
def finished(experiment, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    run(experiment, workdir)
    return workdir


def run(experiment, workdir):
    evaluate(experiment, experiment.defense, workdir, Stopper("ssni evaluate toy"))
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records_of(workdir)]


def records_of(workdir):
    return load_evaluated(workdir).records


def stages_of(workdir):
    return load_evaluated(workdir).run["stages"]


def test_each_attack_runs_on_the_images_that_stand_and_the_last_count_is_the_robust_accuracy(finished):
    stages = stages_of(finished)
    assert next(stage["attack"] for stage in stages) == "clean" and stages[0]["ran"] == N_IMAGES
    for before, after in itertools.pairwise(stages):
        assert after["ran"] == before["standing"] >= after["standing"]
    robust = sum(record["draws"] == [record["label"]] for record in records_of(finished))
    assert robust == stages[-1]["standing"] and 0 < robust < stages[1]["ran"] < N_IMAGES


def test_the_judged_image_is_the_strongest_and_stays_in_the_ball(finished):
    assert all(record["linf"] <= THREAT.eps + 1e-6 for record in records_of(finished))
    wrong_clean = [record for record in records_of(finished) if record["clean_label"] != record["label"]]
    assert wrong_clean and all(record["linf"] == 0 for record in wrong_clean)


def test_the_iterates_of_every_attack_that_ran_are_judged(finished):
    """A deterministic predictor errs on one of them exactly where an attack broke the image."""
    records = records_of(finished)
    assert max(len(record["iterates"]) for record in records) == 1 + 3 * 2 + 7  # of 1, 5, 5, 5 and 20 iterations
    assert min(len(record["iterates"]) for record in records) == 1
    right = [set(record["iterates"]) == {record["label"]} for record in records]
    assert right == [record["draws"] == [record["label"]] for record in records]


def test_only_images_that_an_attack_broke_are_kept_beside_the_judged_ones(finished):
    kept = [id for path in (finished / "stages").glob("*.npz") for id in np.load(path)["id"].tolist()]
    assert sorted(kept) == [record["id"] for record in records_of(finished) if record["linf"] > 0]


@pytest.mark.slow
def test_images_of_8_bits_are_judged_as_they_are_kept(experiment, tmp_path):
    data = tmp_path / "digits.npz"
    pixels = np.round(255 * Digits("test").images).astype(np.uint8)
    np.savez(data, images=pixels, labels=Digits("test").labels)
    small = dataclasses.replace(experiment, images=Npz(str(data)), keep_images="uint8")
    records = run(small, tmp_path / "w")
    files = list((tmp_path / "w").glob("adversarial/*.npz")) + list((tmp_path / "w").glob("stages/*.npz"))
    assert {np.load(path)["image"].dtype for path in files} == {np.dtype(np.uint8)}
    adversarial = AdversarialImages(str(tmp_path / "w"))
    for record in records:
        change = np.abs(adversarial[record["id"]]["image"] - small.images[record["id"]]["image"]).max()
        assert record["linf"] == pytest.approx(change, abs=1e-7) and change <= THREAT.eps + 1e-6
    assert max(record["linf"] for record in records) > THREAT.eps - 1 / 255


def test_the_status_shows_what_stood_after_each_attack(finished):
    stood = f"{100 * stages_of(finished)[3]['standing'] / N_IMAGES:.1f} %"
    assert f"  after {'apgd-t2':9} {stood:>7}" in status(finished)


@pytest.mark.parametrize("n_lost", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_a_run_killed_inside_or_between_attacks_ends_as_an_uninterrupted_one(experiment, finished, tmp_path, n_lost):
    """Judged units come after those of the attacks, so that losing more of them loses attacks too."""
    shutil.copytree(finished, tmp_path / "killed")
    units = sorted((tmp_path / "killed" / "units").glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    for path in units[-n_lost:]:
        path.unlink()
    assert run(experiment, tmp_path / "killed") == run(experiment, finished)


@pytest.mark.slow
def test_an_attack_that_was_stopped_goes_on_from_its_saved_state(experiment, finished, tmp_path, monkeypatch):
    updates = []
    monkeypatch.setattr("ssni_jax.jobs.attack.SAVE_EVERY_S", 0.0)
    monkeypatch.setattr("ssni_jax.jobs.attack.Attacking.run", stopping(updates))
    with pytest.raises(KeyboardInterrupt):
        run(experiment, tmp_path / "stopped")
    monkeypatch.undo()
    assert list((tmp_path / "stopped" / "states").glob("attack-apgd-*.npz"))
    assert run(experiment, tmp_path / "stopped") == run(experiment, finished)


def stopping(updates):
    """The runner of attacks, interrupted in the sixth iteration."""
    from ssni_jax.jobs.attack import Attacking

    original = Attacking.run

    def run_until(self, unit, keys, rows, pause, answer):
        def counted(save):
            updates.append(1)
            if len(updates) == 6:
                save()
                raise KeyboardInterrupt
            pause(save)

        return original(self, unit, keys, rows, counted, answer)

    return run_until


@pytest.mark.slow
def test_attacks_that_differ_in_numbers_alone_are_one_program(experiment, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("ssni_jax.jobs.attack.make_driver", lambda *args: made.append(1) or make_driver(*args))
    few = dataclasses.replace(experiment, n_images=BATCH)
    evaluate(few, few.defense, tmp_path, Stopper("ssni evaluate toy"))
    assert len(made) == len({structure_of(attack) for attack in few.attack.stages.values()}) == 4


def test_the_plan_waits_for_an_attack_to_be_through_before_the_next(experiment, tmp_path):
    job = EnsembleJob(experiment, experiment.defense, experiment.attack, Journal(tmp_path, "hash"), "")
    assert {unit.stage for unit in job.plan()} == {"attack-clean"} and len(job.plan()) == N_IMAGES // BATCH
    clean = [{"id": id, "broken": float(id % 2), "loss": 0.0, "queries": 1} for id in experiment.ids]
    job.journal.write("attack-clean-00000000", {"stage": "attack-clean"}, clean)
    plan = job.plan()
    assert {unit.stage for unit in plan} == {"attack-apgd"}
    assert [id for unit in plan for id in unit.ids] == [id for id in experiment.ids if id % 2 == 0]
    assert all(len(unit.ids) == BATCH for unit in plan[:-1])


def test_the_strongest_image_is_that_of_the_attack_with_most_wrong_draws():
    units = [unit("clean", 0.1), unit("first", 0.4), unit("second", 0.4), unit("third", 0.2)]
    stages = Stages(("clean", "first", "second", "third"), 0.5, [7], units)
    assert stages.strongest([7]) == ["first-unit"] and stages.current is None
    assert stages.broken([7, 8]) == [0.4, 0.0]
    assert Stages(("clean", "first"), 0.5, [7], [unit("clean", 0.4), unit("first", 0.4)]).strongest([7]) == [None]


@pytree
class Fragile(Predictor):
    """Linear logits, which are NaN for every image that an attack has changed: digits have pixels of k / 16."""

    def trace(self, keys, x, save=None):
        is_clean = jnp.all(x * 16 == jnp.round(x * 16), axis=(1, 2, 3))
        return predictor(lambda x: jnp.where(is_clean, 1, jnp.nan)[:, None] * Linear(templates())(x)).trace(keys, x)


def test_an_attack_that_only_reaches_nan_breaks_nothing_and_says_so(experiment, tmp_path):
    attack = Ensemble((Pgd(THREAT, n_steps=2),), ("pgd",))
    records = run(dataclasses.replace(experiment, defense=Fragile(), attack=attack, n_images=BATCH), tmp_path)
    assert all(record["linf"] == 0 and record["draws"] == [record["clean_label"]] for record in records)
    clean, pgd = stages_of(tmp_path)
    assert clean["invalid"] == 0 and pgd["invalid"] == pgd["ran"] == pgd["standing"] > 0
    assert f", {pgd['ran']} without a finite loss" in status(tmp_path)
    assert "worst iterate" in status(tmp_path) and f"  {pgd['ran']} invalid" in status(tmp_path)


def unit(name, broken):
    from pathlib import Path

    from ssni_jax.journal.units import StoredUnit

    record = {"id": 7, "broken": broken, "loss": 0.0, "queries": 1}
    return StoredUnit(Path(f"{name}-unit.jsonl"), {"stage": f"attack-{name}"}, [record])


@pytest.mark.parametrize("version", ["standard", "plus", "rand"])
def test_autoattack_has_the_attacks_of_its_version(version):
    names = list(autoattack(Linf(8 / 255), version).names)
    expected = {
        "standard": ["apgd-ce", *(f"apgd-t{k}" for k in range(1, 10)), *(f"fab-t{k}" for k in range(1, 10)), "square"],
        "rand": ["apgd-ce", "apgd-dlr"],
    }
    plus = ["apgd-ce", "apgd-dlr", "fab", "square", *expected["standard"][1:-1]]
    assert names == expected.get(version, plus)


def test_clean_images_are_looked_at_with_the_draws_of_the_first_attack():
    clean = autoattack(Linf(8 / 255), "rand").stages["clean"]
    assert (clean.n_draws, clean.n_iterations) == (20, 1)
    assert isinstance(Ensemble((Apgd(),), ("apgd",)).stages["clean"], Untouched)


def test_an_ensemble_needs_a_name_per_attack():
    with pytest.raises(ValueError, match="one name per attack, got 1 and 0"):
        Ensemble((Apgd(),))


def test_the_whole_of_it_is_a_value_of_a_config(experiment):
    assert all(not isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(experiment.attack))
    assert np.isfinite(experiment.attack.falls_at)
