"""`ssni convert`: from a released file to a network that a config names."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from ssni_jax.cli import main
from ssni_jax.convert.families import FAMILIES
from ssni_jax.networks import Preconditioned, PreprocessedClassifier
from ssni_jax.zoo import Pretrained
from tests.reference.case import Case
from tests.test_cli import refused

CASES = Path(__file__).parent / "reference" / "cases"
DOCS = Path(__file__).parent.parent / "docs" / "checkpoints.md"
SCORE = ("score_sde_small/checkpoint_8.pth", "score-sde", "image_size=16")
EDM = ("edm_ddpmpp_small/network-snapshot.pkl", "edm")
JCM = ("jcm_small/checkpoint_7", "jcm", "image_size=16", "attn_resolutions=(8,)")


def converted(out: Path, file: str, family: str, *settings: str) -> Pretrained:
    main(["convert", str(CASES / file), "--family", family, "--out", str(out), "--name", "net", "--set", *settings])
    return Pretrained(str(out / "net"))


SOME = [JCM, pytest.param(SCORE, marks=pytest.mark.slow), pytest.param(EDM, marks=pytest.mark.slow)]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", SOME, ids=lambda arguments: arguments[1])
def test_a_converted_denoiser_denoises(tmp_path, arguments):
    denoise = converted(tmp_path, *arguments).load()
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 3)), jnp.float32)
    x0 = jax.jit(lambda denoise, x, sigma: denoise(x, sigma))(denoise, x, jnp.asarray([0.1, 2.0]))
    assert isinstance(denoise, Preconditioned)
    assert x0.shape == x.shape and bool(jnp.all(jnp.isfinite(x0)))


def converted_classifier(out: Path, name: str) -> Pretrained:
    """A small one, from a file of its own beside the folder `out`."""
    tensors = {k: v for k, v in Case(CASES / "wrn_dm_small").tensors().items() if v.dtype == np.float32}
    file = out.parent / f"{name}.safetensors"
    save_file(tensors, file)
    main(["convert", str(file), "--family", "robustbench-dm-wide-resnet", "--out", str(out)])
    return Pretrained(str(out / name))


def test_a_converted_classifier_takes_images_between_zero_and_one(tmp_path):
    classify = converted_classifier(tmp_path / "out", "net").load()
    assert isinstance(classify, PreprocessedClassifier)
    np.testing.assert_allclose(classify.preprocessing.mean, (0.4914, 0.4822, 0.4465))


def test_the_json_says_where_the_weights_come_from(tmp_path):
    about = converted(tmp_path, *SCORE).about()
    assert about["family"] == "score-sde" and about["licence"] == "Apache-2.0"
    assert about["source"]["file"] == "checkpoint_8.pth" and about["source"]["preferred_weights"] == "ema"
    assert about["source"]["options"] == {"image_size": 16}
    assert len(about["source"]["sha256"]) == len(about["sha256"]) == 64


def test_raw_weights_are_those_of_the_last_step(tmp_path):
    arguments = ["convert", str(CASES / SCORE[0]), "--family", "score-sde", "--set", SCORE[2], "--out", str(tmp_path)]
    for weights in ("ema", "raw"):
        main([*arguments, "--weights", weights, "--name", weights])
    assert Pretrained(str(tmp_path / "ema")).fingerprint != Pretrained(str(tmp_path / "raw")).fingerprint


def test_the_heads_of_lpips_and_their_backbone_are_two_files(tmp_path, capsys):
    whole = Case(CASES / "lpips_squeeze").tensors()
    heads = {name: array for name, array in whole.items() if name.startswith("lin") and not name.startswith("lins")}
    layers = {name.split(".", 2)[2]: array for name, array in whole.items() if name.startswith("net.")}
    for name, tensors in {"heads": heads, "backbone": {f"features.{k}": v for k, v in layers.items()}}.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
    arguments = ["convert", str(tmp_path / "heads.safetensors"), "--family", "lpips", "--out", str(tmp_path / "out")]
    assert "backbone" in refused(capsys, *arguments)
    main([*arguments, "--backbone", str(tmp_path / "backbone.safetensors")])
    distance = Pretrained(str(tmp_path / "out" / "heads")).load()
    x = jnp.linspace(-1, 1, 32 * 32 * 3).reshape(1, 32, 32, 3)
    measure = jax.jit(lambda distance, a, b: distance(a, b))
    assert measure(distance, x, x)[0] == 0 < measure(distance, x, -x)[0]


def test_names_with_dots_are_kept(tmp_path):
    assert converted_classifier(tmp_path / "out", "net_v1.2_small").about()["name"] == "net_v1.2_small"


def test_the_list_shows_every_family_with_its_licence_and_settings(capsys):
    main(["convert", "--list"])
    shown = capsys.readouterr().out
    assert all(each.name in shown and each.licence in shown and each.purpose in shown for each in FAMILIES.values())
    assert "num_head_channels" in shown


def test_the_documentation_lists_every_family():
    text = DOCS.read_text()
    assert [name for name in FAMILIES if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "ssni convert FILE --family NAME --out DIR"),
        ((CASES / EDM[0], "--family", "edn", "--out", "x"), "did you mean edm"),
        ((CASES / EDM[0], "--family", "score-sde", "--out", "x"), "Its names fit --family edm"),
        ((CASES / SCORE[0], "--family", "score-sde", "--set", "image_size", "--out", "x"), "KEY=VALUE"),
        ((CASES / SCORE[0], "--family", "score-sde", "--set", "size=3", "--out", "x"), "its options: beta_max"),
        ((CASES / "missing.pth", "--family", "edm", "--out", "x"), "There is no checkpoint"),
        ((CASES / "README.md", "--family", "edm", "--out", "x"), "plain text"),
        ((CASES, "--family", "edm", "--out", "x"), "is a folder"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_refusal_says_what_to_do(capsys, arguments, words):
    assert words in refused(capsys, "convert", *arguments)


def test_weights_that_are_no_numbers_are_named(tmp_path, capsys):
    tensors = {k: v for k, v in Case(CASES / "wrn_standard_small").tensors().items() if v.dtype == np.float32}
    tensors["fc.bias"][0] = np.nan
    save_file(tensors, tmp_path / "net.safetensors")
    arguments = ["--family", "robustbench-wide-resnet", "--out", tmp_path / "out"]
    assert "NaN or infinity in head/bias" in refused(capsys, "convert", tmp_path / "net.safetensors", *arguments)
    assert not (tmp_path / "out").exists()


def test_a_changed_weight_file_is_not_loaded(tmp_path):
    out = tmp_path / "out"
    stored = converted_classifier(out, "net")
    content = bytearray((out / "net.safetensors").read_bytes())
    content[-1] ^= 1
    (out / "net.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="corrupted"):
        stored.load()
    assert json.loads((out / "net.json").read_text())["name"] == "net"
