"""Four rows of the papers' tables, run for two images in few steps with formula weights of full size."""

import dataclasses
import runpy
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from ssni_jax.attacks import L2, Linf, Objective, Pgd
from ssni_jax.dist import make_mesh
from ssni_jax.experiments.fit import fitted
from ssni_jax.jobs import evaluate as evaluate_module
from ssni_jax.jobs import evaluation_job as job_module
from ssni_jax.jobs.evaluate import evaluate
from ssni_jax.journal.evaluation import load_evaluated
from ssni_jax.lifecycle import Stopper
from ssni_jax.published import published_in
from ssni_jax.purify import BpdaIdentity, Surrogate
from ssni_jax.zoo import resolve
from tests.formula import calibrate, store

PAPERS = Path(__file__).parent.parent / "configs" / "papers"


def row(config, **choices):
    """The row of a config, with its networks stored."""
    chosen = runpy.run_path(str(PAPERS / f"{config}.py"))["experiment"]
    evaluation = chosen.build(dataclasses.replace(chosen.choices, **choices))
    for network in published_in(evaluation):
        store(dataclasses.replace(network, coefficients=None))
    deviation = evaluation.defense.purifiers[0].deviation
    if hasattr(deviation, "denoise"):
        calibrate(chosen.choices.norms.file, deviation)
    return chosen.build(dataclasses.replace(chosen.choices, **choices))


def run(evaluation, tmp_path):
    """The records of two images in three steps and two levels of the score norm."""
    small = evaluation.defense.with_steps(3)
    small = small.map_purify(
        lambda purify: (
            dataclasses.replace(purify, deviation=dataclasses.replace(purify.deviation, n_levels=2))
            if hasattr(purify.deviation, "n_levels")
            else purify
        )
    )
    experiment = fitted(dataclasses.replace(evaluation, defense=small, n_images=2, batch_size=2, n_pictures=0))
    with Stopper("test") as stopper:
        evaluate(experiment, resolve(experiment.defense), tmp_path / "w", stopper)
    return load_evaluated(tmp_path / "w").records


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "choices", "threat", "gradient"),
    [
        ("cifar10_diffpure", {"ssni": "N", "protocol": "exact"}, Linf(8 / 255), Surrogate(1)),
        ("cifar10_gdmp", {"ssni": "L", "protocol": "released", "norm": "L2"}, L2(0.5), Surrogate(1)),
        # Compiling the exact gradient of its three kinds of rounds takes a CPU more than half an hour and 15 GB.
        ("cifar10_gns", {"ssni": "none", "protocol": "released"}, Linf(8 / 255), BpdaIdentity()),
    ],
)
def test_a_row_of_cifar10_attacks_and_judges(config, choices, threat, gradient, data_of_configs, tmp_path):
    evaluation = row(config, **choices)
    attack, objective = Pgd(threat, n_steps=1), Objective(differentiate=gradient, hold=True)
    records = run(dataclasses.replace(evaluation, attack=attack, objective=objective, n_draws=1), tmp_path)
    assert len(records) == 2
    for record in records:
        assert record["draws"][0] in range(10)
        assert choices["ssni"] == "none" or np.isfinite(record["clean_norm"])
        limit = threat.eps if isinstance(threat, Linf) else None
        assert 0 < record["linf"] <= limit + 1e-6 if limit else 0 < record["l2"] <= threat.eps + 1e-5


@pytest.mark.slow
def test_the_row_of_adm_256_purifies_and_classifies(data_of_configs, tmp_path, monkeypatch):
    for module in (job_module, evaluate_module):  # a copy of the weights for each of eight devices would take 18 GB
        monkeypatch.setattr(module, "make_mesh", lambda: make_mesh(devices=jax.devices()[:1]))
    evaluation = row("imagenet_diffpure", ssni="N", protocol="exact", dtype="float32")
    folder = shutil.copytree(evaluation.images.path, tmp_path / "pair") / "n01440764"
    shutil.copy(folder / "0.png", folder / "1.png")
    pair = dataclasses.replace(evaluation.images, path=str(folder.parent))
    records = run(dataclasses.replace(evaluation, images=pair, attack=None), tmp_path)
    assert len(records) == 2
    for record in records:
        assert record["clean_label"] in range(1000) and np.isfinite(record["clean_norm"]) and record["clean_norm"] > 0
