"""Checkpoints in several files: the index and its shards must agree, and no name leads out of the folder."""

import hashlib
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from ssni_jax.convert.reader import read_checkpoint
from ssni_jax.convert.reading import CheckpointError
from ssni_jax.convert.source import file_facts
from tests.convert import files

INDEX = "model.safetensors.index.json"
ONE, TWO = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
PARTS = {
    ONE: {"conv.weight": np.arange(6.0).reshape(2, 3), "conv.bias": np.ones(2)},
    TWO: {"head.weight": np.full((2, 2), 7.0)},
}
ALL = {name: array for part in PARTS.values() for name, array in part.items()}
HELD = {name: file for file, part in PARTS.items() for name in part}


@pytest.fixture
def folder(tmp_path):
    """A sharded checkpoint as Hugging Face's libraries write it."""
    for file, part in PARTS.items():
        save_file(part, tmp_path / file)
    indexed(tmp_path, HELD)
    return tmp_path


def indexed(folder, held, name=INDEX):
    (folder / name).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": held}))


def same(tree):
    return tree.keys() == ALL.keys() and all(np.array_equal(tree[name], array) for name, array in ALL.items())


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    return str(caught.value)


@pytest.mark.parametrize("path", [INDEX, "."])
def test_an_index_or_its_folder_gives_the_tensors_of_all_shards(folder, path):
    assert same(read_checkpoint(folder / path))


def test_shards_of_pytorch_are_read_likewise(tmp_path):
    for file, part in PARTS.items():
        (tmp_path / file.replace("safetensors", "bin")).write_bytes(files.torch_zip(*files.tensors(part)))
    held = {name: file.replace("safetensors", "bin") for name, file in HELD.items()}
    indexed(tmp_path, held, "pytorch_model.bin.index.json")
    assert same(read_checkpoint(tmp_path / "pytorch_model.bin.index.json")) and same(read_checkpoint(tmp_path))


def test_a_folder_with_both_kinds_gives_its_safetensors(folder):
    indexed(folder, {"x": "nowhere.bin"}, "pytorch_model.bin.index.json")
    assert same(read_checkpoint(folder))


def test_a_folder_with_two_indices_is_asked_about(folder):
    indexed(folder, HELD, "model.fp16.safetensors.index.json")
    assert f"give one of model.fp16.safetensors.index.json and {INDEX}" in refusal(folder)


WRONG_MAPS = {
    "a shard that is not there": (
        HELD | {"x": "model-3.safetensors"},
        "names the shard model-3.safetensors, which",
    ),
    "a tensor too many": (
        HELD | {"x": TWO},
        f"{TWO}, which lacks x",
    ),
    "a tensor too few": ({k: v for k, v in HELD.items() if k != "conv.bias"}, "which has besides conv.bias"),
    "a tensor elsewhere": (HELD | {"conv.bias": TWO}, "which has besides conv.bias"),
    "a path that climbs": (HELD | {"x": "../other.safetensors"}, "may leave its folder: do not load it"),
    "an absolute path": (HELD | {"x": "/etc/passwd"}, "may leave its folder"),
    "a path of Windows": (HELD | {"x": "C:\\evil.bin"}, "may leave its folder"),
    "a folder": (HELD | {"x": "sub/model.safetensors"}, "may leave its folder"),
    "the folder itself": (HELD | {"x": ".."}, "may leave its folder"),
    "another index": (HELD | {"x": INDEX}, "may leave its folder"),
    "a number": (HELD | {"x": 1}, "no index of shards"),
    "no tensors": ({}, "no index of shards"),
    "a list": (["x"], "no index of shards"),
}


@pytest.mark.parametrize("case", WRONG_MAPS)
def test_an_index_that_does_not_fit_its_shards_is_refused(folder, case):
    held, words = WRONG_MAPS[case]
    indexed(folder, held)
    assert words in refusal(folder / INDEX)


def test_a_tensor_in_two_shards_is_refused(folder):
    save_file({**PARTS[TWO], "conv.bias": np.ones(2)}, folder / TWO)
    assert "which has besides conv.bias: download all files again" in refusal(folder)


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", '{"weight_map": {"a": "x", "a": "y"}}', '{"a": 1}', "[" * 9999])
def test_json_that_is_no_index_is_refused(folder, text):
    (folder / INDEX).write_text(text)
    assert "index" in refusal(folder / INDEX)
    (folder / "config.json").write_text(text)
    assert "index" in refusal(folder / "config.json")


def test_a_damaged_shard_is_named(folder):
    shard = folder / ONE
    shard.write_bytes(shard.read_bytes()[:-3])
    assert f"{INDEX} has a shard {shard.name} that is cut short: download it again" in refusal(folder / INDEX)
    shard.write_bytes(b"<html>")
    assert f"has a shard {shard.name} that is a web page" in refusal(folder / INDEX)


def test_a_shard_that_is_more_than_a_state_dict_is_refused(folder):
    state, storages = files.tensors(PARTS[TWO])
    (folder / TWO).write_bytes(files.torch_zip({"model": state}, storages))
    assert "holds something else than tensors by name" in refusal(folder)


def test_the_hash_of_several_files_is_that_of_their_list(folder):
    names = [INDEX, *PARTS]
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    printed = "".join(f"{hashes[name]}  {name}\n" for name in names)
    facts = file_facts(folder)
    assert facts == {"file": folder.name, "sha256": hashlib.sha256(printed.encode()).hexdigest(), "files": hashes}
    assert file_facts(folder / INDEX)["sha256"] == facts["sha256"]
    one = folder / names[1]
    assert file_facts(one, one) == {**file_facts(one), "backbone": {"file": one.name, "sha256": hashes[names[1]]}}
