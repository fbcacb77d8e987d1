"""The reader on files that the reference implementations wrote, against the formula behind their weights."""

import importlib.util
import json
from typing import Any

import numpy as np
import pytest

from ssni_jax.convert.reader import read_checkpoint
from tests.convert.files import shared


def weights(case: str, prefix: str = "") -> dict[str, np.ndarray]:
    """What the parity case says its tensors are."""
    spec = importlib.util.spec_from_file_location("fill", shared("parity/fill.py"))
    assert spec
    assert spec.loader
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    listed = json.loads(shared(f"parity/{case}/manifest.json").read_text())["tensors"]
    return {name: fill.weight(prefix + name, shape) for name, shape, _ in listed}


@pytest.mark.parametrize(("prefix", "part"), [("", "model"), ("ema:", "ema")])
def test_a_score_sde_checkpoint_holds_the_weights_it_was_made_with(prefix, part):
    found = read_checkpoint(shared("parity/score_sde_small/checkpoint_8.pth"))
    names = [name for name in weights("score_sde_small") if name != "sigmas"]
    expected = weights("score_sde_small", prefix)
    for i, name in enumerate(names):
        array = found["model"][f"module.{name}"] if part == "model" else found["ema"]["shadow_params"][i]
        assert np.array_equal(array, expected[name]), name


def test_an_edm_snapshot_holds_the_weights_it_was_made_with():
    found = read_checkpoint(shared("parity/edm_ddpmpp_small/network-snapshot.pkl"))["ema"]
    assert found["class_name"] == "EDMPrecond"
    for name, expected in weights("edm_ddpmpp_small").items():
        if not name.endswith(("resample_filter", "freqs")):
            assert np.array_equal(in_module(found, name), expected), name


def in_module(module: dict, name: str) -> np.ndarray:
    """The parameter with the dotted `name`; EDM's block names hold no dot."""
    *path, leaf = name.split(".")
    for part in path:
        module = module["state"]["_modules"][part]
    return module["state"]["_parameters"][leaf]


def test_a_jcm_checkpoint_holds_the_weights_it_was_made_with():
    found = read_checkpoint(shared("parity/jcm_small/checkpoint_7"))
    assert isinstance(found["step"], int)
    names = json.loads(shared("parity/jcm_small/manifest.json").read_text())["tensors"]
    for name, shape, dtype in names:
        array = follow(found, name)
        assert (list(array.shape), array.dtype) == (shape, np.dtype(dtype))
        if name.startswith("params/"):
            averaged = follow(found, name.replace("params/", "params_ema/", 1))
            assert np.array_equal(averaged, array * np.float32(0.5))


def follow(tree: Any, path: str) -> np.ndarray:
    for key in path.split("/"):
        tree = tree[key]
    return tree
