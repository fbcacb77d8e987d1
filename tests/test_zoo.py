"""Stored networks: found by name, refused when damaged, and identified by what they hold."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.describe import describe
from ssni_jax.core.fingerprint import fingerprint
from ssni_jax.data import Digits
from ssni_jax.dist import make_mesh, whole
from ssni_jax.presets import PRESETS, preset
from ssni_jax.recipes import diffpure_ddpm, ssni_n
from ssni_jax.zoo import Pretrained, bundled, bundled_path, read_calibration, resolve


@pytest.fixture
def copied(tmp_path):
    for name in bundled():
        for file in bundled_path().glob(f"{name}.*"):
            shutil.copy(file, tmp_path)
    return tmp_path


def test_each_bundled_network_has_less_than_twelve_megabytes():
    assert max(file.stat().st_size for file in bundled_path().iterdir()) < 12e6


@pytest.mark.parametrize("name", bundled())
def test_a_bundled_network_says_its_licence_origin_and_hashes(name):
    about = Pretrained(name).about()
    assert {"architecture", "licence", "date", "training", "sha256", "fingerprint", "data"} <= about.keys()
    assert name.startswith("cifar10") or about["data"] == Digits("train").fingerprint


@pytest.mark.parametrize("name", bundled())
def test_a_loaded_network_has_the_fingerprint_its_file_promises(name):
    loaded = Pretrained(name).load()
    assert fingerprint(loaded) == Pretrained(name).fingerprint


def test_the_classifier_knows_the_calibration_digits():
    images, labels = Digits("calibration").images, Digits("calibration").labels
    logits = jax.jit(lambda network, x: network(x))(Pretrained("digits-classifier").load(), jnp.asarray(images))
    assert np.mean(np.argmax(logits, 1) == labels) > 0.95


def test_the_denoiser_denoises_the_calibration_digits():
    x0 = 2 * Digits("calibration").images[:64] - 1
    noise = np.random.default_rng(0).normal(size=x0.shape).astype(np.float32)
    denoise = Pretrained("digits-score").load()
    x = jax.jit(lambda denoise, x: denoise(x, jnp.full(64, 0.3)))(denoise, jnp.asarray(x0 + 0.3 * noise))
    assert np.mean((x - x0) ** 2) < 0.4 * 0.3**2


def test_damaged_weights_are_refused_by_their_hash(copied):
    file = copied / "digits-score.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"digits-score.safetensors is corrupted \(sha256 "):
        Pretrained(str(copied / "digits-score")).load()


def test_missing_weights_are_named(copied):
    (copied / "digits-score.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"digits-score.safetensors are missing"):
        Pretrained(str(copied / "digits-score")).load()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(FileNotFoundError, match=r"no stored network 'cifar': give one of cifar10-.*, digits-score"):
        Pretrained("cifar").load()


def test_an_architecture_of_a_later_version_is_refused(copied):
    file = copied / "digits-score.json"
    about = json.loads(file.read_text())
    file.write_text(json.dumps({**about, "architecture": {"kind": "Mamba"}}))
    with pytest.raises(ValueError, match="'Mamba' is not one of"):
        Pretrained(str(copied / "digits-score")).load()


def test_a_calibration_of_another_network_is_refused():
    other = dataclasses.replace(Pretrained("digits-score").calibration(), network="0" * 64)
    with pytest.raises(ValueError, match="belongs to network 000000000000, not to"):
        ssni_n(diffpure_ddpm(Pretrained("digits-score")), other, tau=1.0)


def test_the_bundled_calibration_belongs_to_the_bundled_network_and_unseen_images():
    calibration = Pretrained("digits-score").calibration()
    assert calibration.network == Pretrained("digits-score").fingerprint
    assert calibration.data == Digits("calibration").fingerprint
    assert len(calibration.norms) == len(Digits("calibration"))


def test_a_missing_calibration_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="write one with `ssni calibrate`"):
        read_calibration(tmp_path / "x.calibration.json")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_resolves_to_networks(name):
    defense = resolve(preset(name))
    assert not any(isinstance(leaf, Pretrained) for leaf in jax.tree.leaves(defense))


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(ValueError, match="no preset 'x': choose one of digits-undefended"):
        preset("x")


def test_a_network_is_loaded_straight_onto_its_mesh_and_once():
    sharding = whole(make_mesh())
    purifier = ssni_n(diffpure_ddpm(Pretrained("digits-score")), Pretrained("digits-score").calibration(), tau=20.0)
    placed = resolve(purifier, sharding)
    arrays = jax.tree.leaves(placed.denoise.network.state)
    assert {array.sharding for array in arrays} == {sharding}
    assert all(a is b for a, b in zip(arrays, jax.tree.leaves(placed.deviation.denoise.network.state), strict=True))
    bare = Pretrained("digits-score").load()
    assert fingerprint(placed.denoise) == fingerprint(bare)


@pytest.mark.parametrize("name", [pytest.param("digits-score", marks=pytest.mark.slow), "digits-classifier"])
def test_a_network_in_bfloat16_is_close_has_the_same_parameters_and_says_so(name):
    x = jnp.asarray(Digits("calibration").images[:16])
    arguments = (x, jnp.full(16, 0.3)) if name == "digits-score" else (x,)
    stored, half = Pretrained(name), Pretrained(name, dtype="bfloat16")
    expected, found = (jax.jit(lambda net, *a: net(*a))(each.load(), *arguments) for each in (stored, half))
    assert found.dtype == jnp.float32
    error = float(jnp.linalg.norm(found - expected) / jnp.linalg.norm(expected))
    assert 1e-5 < error < 0.03
    assert fingerprint(half.load()) == stored.fingerprint and describe(half)["dtype"] == "bfloat16"


def test_another_dtype_is_refused():
    with pytest.raises(ValueError, match="dtype is 'float8', but it must be one of float32, bfloat16"):
        Pretrained("digits-score", dtype="float8").load()


@pytest.mark.parametrize("name", ["digits-undefended", "digits-ssni-n"])
def test_the_networks_of_a_preset_are_put_in_place_as_arguments(name):
    """No stored network is left, and its arrays are leaves: as constants of a program they could not be sharded."""
    before, after = preset(name), resolve(preset(name))
    assert any(isinstance(leaf, Pretrained) for leaf in jax.tree.leaves(before))
    assert not any(isinstance(leaf, Pretrained) for leaf in jax.tree.leaves(after))
    assert sum(np.size(leaf) for leaf in jax.tree.leaves(after)) > 1000
