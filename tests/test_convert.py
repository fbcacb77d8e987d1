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
from tests.convert.files import tensors, torch_zip
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
    file = out.parent / f"{name}.safetensors"
    save_file(small_tensors(), file)
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
    assert about["source"]["weights"] == "ema" and about["source"]["key"] == "ema.shadow_params"
    assert about["source"]["options"] == {"image_size": 16}
    assert about["source"]["assumed"] == {"beta_min": 0.1, "beta_max": 20.0, "dropout": 0.1, "fir": False}
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
    for name, part in {"heads": heads, "backbone": {f"features.{k}": v for k, v in layers.items()}}.items():
        save_file(part, tmp_path / f"{name}.safetensors")
    arguments = ["convert", str(tmp_path / "heads.safetensors"), "--family", "lpips", "--out", str(tmp_path / "out")]
    assert "backbone" in refused(capsys, *arguments)
    main([*arguments, "--backbone", str(tmp_path / "backbone.safetensors")])
    assert Pretrained(str(tmp_path / "out" / "heads")).about()["source"]["backbone"]["file"] == "backbone.safetensors"
    distance = Pretrained(str(tmp_path / "out" / "heads")).load()
    x = jnp.linspace(-1, 1, 32 * 32 * 3).reshape(1, 32, 32, 3)
    measure = jax.jit(lambda distance, a, b: distance(a, b))
    assert measure(distance, x, x)[0] == 0 < measure(distance, x, -x)[0]


def small_tensors() -> dict[str, np.ndarray]:
    return {k: v for k, v in Case(CASES / "wrn_dm_small").tensors().items() if v.dtype == np.float32}


def test_what_was_taken_set_aside_and_assumed_is_printed_and_recorded(tmp_path, capsys):
    state, storages = tensors({f"1.{name}": array for name, array in small_tensors().items()} | {"0.mean": np.ones(3)})
    (tmp_path / "net.pth").write_bytes(torch_zip({"state_dict": {**state, "arch": "wrn"}, "epoch": 3}, storages))
    arguments = ["convert", str(tmp_path / "net.pth"), "--family", "robustbench-dm-wide-resnet", "--out", str(tmp_path)]
    assert "A part of its names fits: pass --prefix '1.'" in refused(capsys, *arguments)
    main([*arguments, "--prefix", "1.", "--set", "mean=0.5", "input_size=32", "crop=28"])
    printed = capsys.readouterr().out
    for words in (
        "Weights: not averaged (raw) at state_dict, names that begin with '1.'.",
        "Left out, because their names do not begin with '1.': 1 tensors (0.mean).",
        "Set aside: arch, epoch.",
        "Assumed, not stated by the file: activation_fn=swish, std=(0.2471,0.2435,0.2616), interpolation=linear",
    ):
        assert words in printed
    about = Pretrained(str(tmp_path / "net")).about()
    source = about["source"]
    assert (source["weights"], source["key"], source["prefix"]) == ("raw", "state_dict", "1.")
    assert source["assumed"]["std"] == [0.2471, 0.2435, 0.2616] and "mean" not in source["assumed"]
    assert about["preprocessing"]["crop"] == 28 and about["preprocessing"]["mean"] == [0.5]


def test_a_file_without_averaged_weights_is_not_recorded_as_averaged(tmp_path, capsys):
    converted_classifier(tmp_path / "out", "net")
    assert "Weights: not averaged (raw): the file has no averaged ones." in capsys.readouterr().out
    source = Pretrained(str(tmp_path / "out" / "net")).about()["source"]
    assert (source["preferred_weights"], source["weights"], source["key"]) == ("ema", "raw", "")


def test_a_checkpoint_in_several_files_is_named_after_its_index_or_folder(tmp_path):
    folder, small = tmp_path / "wrn.v1", small_tensors()
    folder.mkdir()
    held = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(small)}
    for file in set(held.values()):
        save_file({name: small[name] for name in small if held[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": held}))
    marks = set()
    for path, name in ((folder, "wrn.v1"), (folder / "model.safetensors.index.json", "model")):
        main(["convert", str(path), "--family", "robustbench-dm-wide-resnet", "--out", str(tmp_path / "out")])
        about = Pretrained(str(tmp_path / "out" / name)).about()
        assert [*about["source"]["files"]] == ["model.safetensors.index.json", *sorted(set(held.values()))]
        marks.add((about["fingerprint"], about["source"]["sha256"]))
    whole = converted_classifier(tmp_path / "whole", "net").about()
    assert len(marks) == 1 and marks.pop()[0] == whole["fingerprint"]


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
        ((CASES, "--family", "edm", "--out", "x"), "is a folder without an index of shards"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_refusal_says_what_to_do(capsys, arguments, words):
    assert words in refused(capsys, "convert", *arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--key", "modl"), "nothing at 'modl': its keys are model_ema, epoch"),
        (("--key", "epoch"), "no state dict at 'epoch': its keys are model_ema, epoch"),
        (("--prefix", "x"), "no name in it begins with 'x.': its names begin with conv"),
        (("--weights", "raw"), "holds averaged weights only (--key model_ema): pass --weights ema"),
    ],
)
def test_a_key_prefix_or_kind_that_the_file_lacks_is_refused_with_those_it_has(tmp_path, capsys, arguments, words):
    state, storages = tensors({"conv.weight": np.ones(2, np.float32)})
    (tmp_path / "net.pth").write_bytes(torch_zip({"model_ema": state, "epoch": 3}, storages))
    given = [str(tmp_path / "net.pth"), "--family", "cifar-resnet", "--out", str(tmp_path / "out"), *arguments]
    assert words in refused(capsys, "convert", *given)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_no_numbers_are_named(tmp_path, capsys):
    broken = {k: v for k, v in Case(CASES / "wrn_standard_small").tensors().items() if v.dtype == np.float32}
    broken["fc.bias"][0] = np.nan
    save_file(broken, tmp_path / "net.safetensors")
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
