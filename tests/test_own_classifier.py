"""A user's own classifier in configs/evaluate_own_classifier.py, with formula weights and with the real ones."""

import runpy
from pathlib import Path

import jax
import numpy as np
import pytest

from ssni_jax.cli import main
from ssni_jax.core.protocols import Predict
from ssni_jax.data import npz
from ssni_jax.journal.evaluation import load_evaluated
from ssni_jax.journal.rows import summarise
from tests.convert.files import shared

CONFIG = Path(__file__).parent.parent / "configs" / "evaluate_own_classifier.py"
PUBLISHED = 0.6925  # clean accuracy on the 10,000 test images, VNN-COMP 2021


def test_its_weights_are_arguments_and_it_obeys_the_protocol(data_of_configs):
    predict = runpy.run_path(str(CONFIG))["experiment"].defense
    assert isinstance(predict, Predict)
    assert sum(leaf.size for leaf in jax.tree.leaves(predict)) == 112_006
    program = jax.make_jaxpr(lambda predict, x: predict.classify(x))(predict, np.zeros((2, 32, 32, 3), np.float32))
    assert max(np.size(constant) for constant in program.consts or [0]) <= 3  # mean and std of the pixels alone


@pytest.mark.slow
def test_it_is_evaluated_and_attacked(data_of_configs, tmp_path, capsys):
    main(["evaluate", str(CONFIG), "--workdir", str(tmp_path / "clean")])
    assert "20 of 20 images" in capsys.readouterr().out
    attacked = tmp_path / "attacked.py"
    attacked.write_text(CONFIG.read_text().replace("attack=None", "attack=ATTACK"))
    flags = ["--attack.n-steps", "2", "--attack.n-restarts", "2", "--n-images", "10"]
    main(["evaluate", str(attacked), "--workdir", str(tmp_path / "attacked"), *flags])
    assert all(0 < record["linf"] <= 2 / 255 + 1e-6 for record in load_evaluated(tmp_path / "attacked").records)


@pytest.mark.slow
def test_the_real_weights_have_the_published_accuracy(tmp_path, monkeypatch):
    links = {"cifar10/cifar10_test.npz": "cifar10_test.npz", "vnncomp_resnet2b.pth": "checkpoints/vnncomp_resnet2b.pth"}
    for link, name in links.items():
        path = tmp_path / "data" / link
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(shared(f"data/{name}"))
    monkeypatch.chdir(tmp_path)
    for cached in (npz._read, npz._digest):  # other tests have read other images by this relative path
        cached.cache_clear()
    main(["evaluate", str(CONFIG), "--workdir", "own"])
    row = summarise("own", load_evaluated(tmp_path / "own").records)
    assert (row["n"], row["clean"]) == (10_000, PUBLISHED)
