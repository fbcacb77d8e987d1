"""Stored networks and calibrations that were edited or damaged: named, with where to restore them from."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ssni_jax.zoo import Pretrained, bundled_path, described, read_calibration

SCORE, CLASSIFIER = "digits-score", "digits-classifier"


@pytest.fixture
def stored(tmp_path):
    """A copy of a bundled network with a part of its JSON replaced, and perhaps its weights."""

    def copy(name, part=(), value=None, arrays=None):
        about = json.loads((bundled_path() / f"{name}.json").read_text())
        inner = about
        for key in part[:-1]:
            inner = inner[key]
        if part:
            inner[part[-1]] = value
        if arrays is None:
            shutil.copy(bundled_path() / f"{name}.safetensors", tmp_path / "x.safetensors")
        else:
            save_file(arrays(load_file(bundled_path() / f"{name}.safetensors")), tmp_path / "x.safetensors")
            about["sha256"] = hashlib.sha256((tmp_path / "x.safetensors").read_bytes()).hexdigest()
        (tmp_path / "x.json").write_text(json.dumps(about))
        return Pretrained(str(tmp_path / "x"))

    return copy


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        (["architecture"], "SongUNet", "architecture must be a mapping of names to values, got 'SongUNet'"),
        (["sha256"], 3, "sha256 must be a text, got 3"),
        (["coefficients"], [], "coefficients must be a mapping of names to values or None"),
    ],
)
def test_json_of_a_wrong_kind_is_named(stored, part, value, words):
    with pytest.raises(ValueError, match=rf"x\.json is damaged \({words}.*: restore it from its source"):
        stored(SCORE, part, value).about()


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        (["architecture", "kind"], "Unknown", "'Unknown' is not one of"),
        (["architecture", "more"], 1, "unexpected keyword argument 'more'"),
        (["architecture", "num_blocks"], "2", "num_blocks"),
        (["architecture", "channel_mult"], 3, "channel_mult"),
        (["architecture", "label_dim"], None, "label_dim"),
        (["architecture", "resample_filter"], 3, "(not iterable|resample_filter)"),
        (["coefficients", "kind"], None, "'None' is not one of"),
    ],
)
def test_a_part_that_describes_nothing_is_named(stored, part, value, words):
    network = stored(SCORE, part, value)
    with pytest.raises(ValueError, match=rf"(?s)x\.json is damaged \({part[0]}: .*{words}"):
        described(network.path.with_suffix(".json"), network.about(), part[0])


@pytest.mark.parametrize("size", [0, -1, 10**9, "8", None, 8.0])
def test_an_image_size_that_is_none_is_named(stored, size):
    with pytest.raises(ValueError, match=r"x\.json must give a denoiser's resolution from 1 to 32768, got"):
        _ = stored(SCORE, ["architecture", "resolution"], size).image_shape


def test_a_network_that_cannot_be_built_is_named(stored):
    """Some versions of flax build a layer of no channels, which the weights then do not fit."""
    with pytest.raises(
        ValueError, match=r"x\.json (cannot be built|and its weights do not belong together) .*: restore it"
    ):
        stored(CLASSIFIER, ["architecture", "widen_factor"], 0).load()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (lambda arrays: dict(sorted(arrays.items())[1:]), "missing"),
        (lambda arrays: {**arrays, "more": np.zeros(3, np.float32)}, "unexpected more"),
        (lambda arrays: {name: array[:1] for name, array in arrays.items()}, "mis-shaped"),
    ],
)
def test_weights_of_another_network_are_named(stored, arrays, words):
    with pytest.raises(ValueError, match=rf"x\.json and its weights do not belong together \(.*{words}"):
        stored(CLASSIFIER, arrays=arrays).load()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"norms": "high"}, r"is damaged \(norms must be a list, each entry a number, got 'high'\)"),
        ({"norms": [1.0, "2"]}, r"is damaged \(norms\[1\] must be a number, got '2'\)"),
        ({"norms": [1.0, None]}, r"is damaged \(norms\[1\] must be a number, got None\)"),
        ({"norms": [1.0]}, "is no calibration: A calibration needs at least two different"),
        ({"network": 3}, "is damaged \\(network must be a text"),
        ({"seed": 0.5}, "is damaged \\(seed must be a whole number"),
        ({"n_levels": "20"}, "is damaged \\(n_levels must be a whole number"),
        ({"deviation": {"kind": "ScoreNorm", "n_levels": "20"}}, r"is damaged \(deviation\.n_levels must be"),
    ],
)
def test_an_edited_calibration_is_named_with_how_to_make_it_again(tmp_path, change, words):
    values = json.loads((bundled_path() / "digits-score.calibration.json").read_text())
    (tmp_path / "c.json").write_text(json.dumps(values | change))
    with pytest.raises(ValueError, match=rf"c\.json {words}.*`ssni calibrate`"):
        read_calibration(tmp_path / "c.json")


@pytest.mark.parametrize("content", [b"", b"[1]", b"null", b"\xff", b"[" * 99_999])
def test_a_file_that_is_no_calibration_is_named(tmp_path, content):
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"c\.json is .*: write it again with `ssni calibrate`"):
        read_calibration(tmp_path / "c.json")
