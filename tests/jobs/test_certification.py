"""A certification on disk: complete, exactly once, the same after a kill, and recomputable from its counts."""

import dataclasses
import json
import os

import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.certify import AlphaSpending, certify
from ssni_jax.certify import predict as majority
from ssni_jax.core.pytree import pytree
from ssni_jax.data import Digits
from ssni_jax.experiments import Certification
from ssni_jax.experiments.fit import fitted
from ssni_jax.jobs.certify import Ready
from ssni_jax.jobs.certify import certify as run_certification
from ssni_jax.journal.certification import certificate, load_certified, predicted
from ssni_jax.journal.status import is_complete, status
from ssni_jax.lifecycle import Stopper
from ssni_jax.purify import Defense, Vote, predictor
from ssni_jax.recipes import edm_one_step
from tests.kit import Gaussian

SIGMAS = (0.1, 0.4)


@pytree
class Linear:
    """Logits from fixed directions; NaN for images brighter on average than `limit`."""

    weight: np.ndarray
    limit: float = 9.0

    def __call__(self, x):
        return jnp.where(x.mean(axis=(1, 2, 3))[:, None] > self.limit, jnp.nan, x.reshape(len(x), -1) @ self.weight)


@pytree
class MeanSquare:
    """A distance."""

    def __call__(self, a, b):
        return jnp.mean(jnp.square(a - b), axis=(1, 2, 3))


def templates():
    """The mean training image of each class, as weights: right on most digits."""
    source = Digits("train")
    means = np.stack([source.images[source.labels == k].mean(axis=0).ravel() for k in range(10)], axis=1)
    return (means / np.linalg.norm(means, axis=0)).astype(np.float32)


@pytest.fixture(scope="module")
def experiment():
    defense = Defense(edm_one_step(Gaussian(0.7)), Linear(templates()))
    return Certification(
        "toy", defense, Digits("test"), SIGMAS, n_selection=20, n_estimation=200, distance=MeanSquare(), n_quality=2,
        n_images=10, every=7, batch_size=64, n_together=4,
    )  # fmt: skip


def run(experiment, workdir):
    predicts = {sigma: experiment.defense.at_noise(sigma) for sigma in experiment.sigmas}
    run_certification(experiment, Ready(predicts, experiment.distance), workdir, Stopper("ssni certify toy"))
    return load_certified(workdir).records


def lose_units(workdir, n):
    """As after a kill: the last n units were never written."""
    for path in sorted((workdir / "units").glob("*.jsonl"))[-n:]:
        path.unlink()


@pytest.fixture(scope="module")
def finished(experiment, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    run(experiment, workdir)
    return workdir


def without_time(records):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


def test_every_image_has_one_record_a_sigma(finished):
    records = load_certified(finished).records
    assert [(record["id"], record["sigma"]) for record in records] == [(7 * i, s) for i in range(10) for s in SIGMAS]
    assert is_complete(finished) and load_certified(finished).missing == []


def test_votes_are_the_draws_and_the_certificate_is_theirs(finished):
    for record in load_certified(finished).records:
        selection, estimation = np.asarray([record["selection"]]), np.asarray([record["estimation"]])
        assert (selection.sum(), estimation.sum(), record["n_estimation"]) == (20, 200, 200)
        done = certify(selection, estimation, sigma=record["sigma"], alpha=0.001)
        assert (record["prediction"], record["radius"]) == (done.label[0], done.radius[0])
        assert record["predict"] == majority(estimation)[0]
        assert record["looks"] is None and record["n_invalid"] == 0


def test_any_alpha_can_be_recomputed_from_a_record(finished):
    loose, strict = (
        [certificate(record, alpha) for record in load_certified(finished).records] for alpha in (0.05, 1e-6)
    )
    assert all(b[1] <= a[1] for a, b in zip(loose, strict, strict=True))
    assert any(b[1] < a[1] for a, b in zip(loose, strict, strict=True))


def test_the_toy_certifies_something_and_less_of_it_under_more_noise(finished):
    records = load_certified(finished).records
    right = {s: np.mean([r["prediction"] == r["label"] for r in records if r["sigma"] == s]) for s in SIGMAS}
    assert right[0.1] >= 0.5 and any(record["radius"] > 0 for record in records)


def test_quality_is_that_of_the_purified_draws(finished):
    for record in load_certified(finished).records:
        assert record["calls"] == 1 and record["seconds"] > 0
        assert 0 < record["transport"] < 10 and 0 < record["distance"] < 1
        assert 0 < record["psnr"] < 40 and -1 < record["ssim"] < 1
    far = [np.mean([r["transport"] for r in load_certified(finished).records if r["sigma"] == s]) for s in SIGMAS]
    assert far[0] < far[1]


@pytest.mark.slow
def test_other_batches_and_groups_count_the_same(finished, experiment, tmp_path):
    records = run(dataclasses.replace(experiment, batch_size=24, n_together=10), tmp_path)
    for mine, theirs in zip(records, load_certified(finished).records, strict=True):
        assert (mine["selection"], mine["estimation"]) == (theirs["selection"], theirs["estimation"])


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_result(finished, experiment, tmp_path):
    run(experiment, tmp_path)
    lose_units(tmp_path, 2)
    assert not is_complete(tmp_path)
    assert without_time(run(experiment, tmp_path)) == without_time(load_certified(finished).records)


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_loses_nothing(finished, experiment, tmp_path, monkeypatch):
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
    assert len(load_certified(tmp_path).records) == 4
    assert without_time(run(experiment, tmp_path)) == without_time(load_certified(finished).records)


@pytest.mark.slow
def test_more_images_and_sigmas_extend_a_finished_run(experiment, finished, tmp_path):
    few = dataclasses.replace(experiment, n_images=4, sigmas=(0.4,))
    before = run(few, tmp_path)
    assert without_time(run(experiment, tmp_path)) == without_time(load_certified(finished).records)
    assert [record for record in load_certified(tmp_path).records if record in before] == before


def test_nan_logits_abstain_and_are_reported(experiment, tmp_path):
    broken = dataclasses.replace(experiment, defense=predictor(Linear(templates(), 0.33)), sigmas=(0.1,))
    records = run(broken, tmp_path)
    invalid = [record for record in records if record["n_invalid"]]
    assert 0 < len(invalid) < len(records)
    for record in invalid:
        assert (record["prediction"], record["predict"], record["radius"]) == (-1, -1, 0.0)
        assert sum(record["selection"]) + sum(record["estimation"]) + record["n_invalid"] == 220
    assert f"{len(invalid)} images had NaN logits and abstain" in status(tmp_path)


def test_early_stopping_draws_less_and_says_what_it_saw(finished, experiment, tmp_path):
    stopping = AlphaSpending(radius=0.05, looks=(30, 80))
    records = run(dataclasses.replace(experiment, stopping=stopping), tmp_path)
    assert len({record["n_estimation"] for record in records}) > 1
    for record, every in zip(records, load_certified(finished).records, strict=True):
        chosen = int(np.argmax(record["selection"]))
        assert record["looks"][-1] == [record["n_estimation"], record["estimation"][chosen]]
        assert [n for n, _ in record["looks"]] == [30, 80, 200][: len(record["looks"])]
        assert sum(record["estimation"]) == record["n_estimation"] and record["selection"] == every["selection"]
        assert (record["prediction"], record["radius"]) == certificate(record, 0.001, 3)
        assert record["predict"] == predicted(record, 0.001, 3)
        stopped = record["n_estimation"] < 200
        assert not stopped or record["prediction"] < 0 or record["radius"] >= 0.05


@pytest.mark.slow
def test_a_vote_counts_the_calls_of_all_its_draws_and_keeps_randomness_apart(experiment, tmp_path):
    @pytree
    class Noisy:
        def __call__(self, x):
            return Linear(templates())(x)

    vote = dataclasses.replace(
        experiment, defense=Vote(Defense(edm_one_step(Gaussian(0.7)), Noisy()), 3), sigmas=(0.1,), n_images=2
    )
    assert [record["calls"] for record in run(vote, tmp_path)] == [3.0, 3.0]


def test_status_says_how_far_how_good_and_how_to_go_on(finished, experiment, tmp_path):
    assert "toy: 10 of 10 images at sigma 0.1, 0.4" in status(finished) and "complete" in status(finished)
    assert "certified at radius 0: " in status(finished)
    run(experiment, tmp_path)
    lose_units(tmp_path, 1)
    text = status(tmp_path)
    assert "missing 56, 63" in text and "resume with: ssni certify toy" in text


def test_results_say_how_they_were_made_and_evaluations_are_told_apart(finished):
    run = load_certified(finished).run
    wanted = {"version", "jax", "devices", "seed", "data", "sigmas", "n_estimation", "alpha", "stopping", "command"}
    assert wanted <= run.keys()
    assert run["kind"] == "certification"
    assert json.loads((finished / "experiment.json").read_text())["n_selection"] == 20


def test_a_workdir_of_another_config_or_network_is_refused(finished, experiment):
    with pytest.raises(ValueError, match="seed = 0, not 1"):
        run(dataclasses.replace(experiment, seed=1), finished)
    other = Defense(experiment.defense.purify, Linear(templates() + 1))
    predicts = {sigma: other.at_noise(sigma) for sigma in SIGMAS}
    with pytest.raises(ValueError, match=r"networks\.predict"):
        run_certification(experiment, Ready(predicts, experiment.distance), finished, Stopper("x"))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"n_estimation": 9}, "9 draws can never certify .* the smallest number that could is 10"),
        ({"stopping": AlphaSpending(2.0, (50,))}, r"radius 2 at sigma 0\.4 .* the smallest number that could is"),
        ({"alpha": 1.0}, r"alpha must lie strictly between 0 and 1, got 1\.0"),
        ({"sigmas": (0.1, 0.1)}, "must be different positive noise levels"),
        ({"sigmas": (0.0,)}, "must be different positive noise levels"),
        ({"n_images": 401}, "n_images must lie between 1 and the 400 images of the source, got 401"),
        ({"n_images": 0}, "n_images must be at least 1, or None for all, got 0"),
        ({"every": 0}, "every must be at least 1, got 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(experiment, changes, match):
    with pytest.raises(ValueError, match=match):
        fitted(dataclasses.replace(experiment, **changes))
