"""Stored networks: whole or absent, read as they were written, placed slice by slice."""

import hashlib
import json
import os
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding
from safetensors.numpy import save_file

from ssni_jax.convert import store
from ssni_jax.convert.placing import place
from ssni_jax.convert.store import Weights, read_about, read_arrays, save_network
from ssni_jax.core.fingerprint import fingerprint
from ssni_jax.dist import make_mesh, sharded_over_data, whole
from ssni_jax.networks import abstract, flat
from ssni_jax.networks.vit import VitConfig

ABOUT = {"architecture": {"kind": "None"}, "licence": "CC0"}
SHAPES = abstract(VitConfig(resolution=4, patch=2, width=16, depth=1, n_heads=1, mlp_width=24, n_classes=5).make)[1]
ARRAYS = {
    name: np.random.default_rng(index).random(leaf.shape, np.float32)
    for index, (name, leaf) in enumerate(flat(SHAPES).items())
}
SPLIT = partial(sharded_over_data, make_mesh(), min_size=64)


class Spy(Weights):
    """Weights that remember what was read of them."""

    def __init__(self, file: Path):
        super().__init__(file)
        self.reads = []

    def __getitem__(self, name):
        return super().part(name, ())  # unrecorded: the run-time type checker looks at one value of a mapping

    def part(self, name, index):
        values = super().part(name, index)
        self.reads.append((name, values.size))
        return values


@pytest.fixture
def stored(tmp_path) -> Path:
    save_network(tmp_path / "net", ARRAYS, ABOUT)
    return tmp_path / "net"


def same(found, expected) -> bool:
    return found.keys() == expected.keys() and all(np.array_equal(found[name], expected[name]) for name in expected)


def test_what_was_written_is_read(stored):
    assert same(read_arrays(stored), ARRAYS)
    about = read_about(stored)
    content = stored.with_suffix(".safetensors").read_bytes()
    assert about == {**ABOUT, "sha256": hashlib.sha256(content).hexdigest(), "fingerprint": fingerprint(ARRAYS)}


def test_views_and_scalars_keep_their_shape_and_values(tmp_path):
    arrays = {"turned": np.arange(6.0, dtype=np.float32).reshape(2, 3).T, "scalar": np.asarray(3.0, np.float32)}
    save_network(tmp_path / "net", arrays, ABOUT)
    found = read_arrays(tmp_path / "net")
    assert same(found, arrays) and found["scalar"].shape == () == found.shape("scalar")


def test_half_precision_stays_half(tmp_path):
    save_network(tmp_path / "net", {"a": np.ones(3, np.float16)}, ABOUT)
    assert read_arrays(tmp_path / "net")["a"].dtype == np.float16


@pytest.mark.parametrize("dtype", [np.int32, np.float64, ml_dtypes.bfloat16])
def test_another_type_is_refused_before_anything_is_written(tmp_path, dtype):
    with pytest.raises(ValueError, match=r"would hold b \(.*\): parameters are stored as float32 or float16"):
        save_network(tmp_path / "net", {"a": np.ones(3, np.float32), "b": np.ones(3, dtype)}, ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_weights_may_be_read_by_whoever_may_read_their_description(stored):
    assert len({stored.with_suffix(ending).stat().st_mode for ending in (".json", ".safetensors")}) == 1


@pytest.mark.parametrize("n_done", [0, 1])
@pytest.mark.parametrize("before", [False, True])
def test_a_network_whose_writing_was_cut_off_is_absent(tmp_path, monkeypatch, n_done, before):
    if before:
        save_network(tmp_path / "net", ARRAYS, ABOUT)
    interrupt(monkeypatch, os, "replace", n_done)
    with pytest.raises(KeyboardInterrupt):
        save_network(tmp_path / "net", {"a": np.ones(3, np.float32)}, ABOUT)
    with pytest.raises(FileNotFoundError, match=r"no stored network at .* \(net.json is missing\)"):
        read_arrays(tmp_path / "net")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("step", ["save_file", "sha256_of", "fingerprint", "_flush"])
def test_until_all_is_on_disk_the_old_network_stays(stored, monkeypatch, step):
    interrupt(monkeypatch, store, step, 0)
    with pytest.raises(KeyboardInterrupt):
        save_network(stored, {"a": np.ones(3, np.float32)}, ABOUT)
    monkeypatch.undo()
    assert same(read_arrays(stored), ARRAYS) and len(list(stored.parent.iterdir())) == 2


def interrupt(monkeypatch, module, name: str, n_done: int) -> None:
    """`module.name` works `n_done` times and then is interrupted."""
    real, calls = getattr(module, name), []

    def interrupted(*args, **kwargs):
        calls.append(name)
        if len(calls) > n_done:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, interrupted)


def test_a_second_network_of_the_name_replaces_the_first(stored):
    save_network(stored, {"a": np.ones(3, np.float32)}, ABOUT)
    assert same(read_arrays(stored), {"a": np.ones(3, np.float32)})


def test_weights_in_use_survive_their_replacement(stored):
    weights = read_arrays(stored)
    save_network(stored, {"a": np.ones(3, np.float32)}, ABOUT)
    assert same(weights, ARRAYS)


@pytest.mark.parametrize("position", [0, 500, -1])
def test_one_changed_bit_is_refused_before_anything_reaches_a_device(stored, position):
    file = stored.with_suffix(".safetensors")
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    n_live = len(jax.live_arrays())
    with pytest.raises(ValueError, match=r"net.safetensors is corrupted \(sha256 .*\): restore the file"):
        place(read_arrays(stored), SHAPES)
    assert len(jax.live_arrays()) == n_live


def test_missing_weights_are_named(stored):
    stored.with_suffix(".safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"net.safetensors are missing: restore them from where net.json"):
        read_arrays(stored)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not valid JSON"),
        ("[1]", "lacks architecture, sha256, fingerprint: it does not describe a stored network"),
        ("3", "lacks architecture"),
        (json.dumps({**ABOUT, "sha256": "0"}), "lacks fingerprint"),
    ],
)
def test_a_description_that_is_none_is_refused(stored, text, sentence):
    stored.with_suffix(".json").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_about(stored)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no tensors", "is not a safetensors file"),
        (b"", "is not a safetensors file"),
        ({"a": np.ones(3, np.int32)}, r"would hold a \(I32\)"),
    ],
)
def test_foreign_content_with_the_right_hash_is_refused(stored, content, sentence):
    file, note = stored.with_suffix(".safetensors"), stored.with_suffix(".json")
    file.write_bytes(content) if isinstance(content, bytes) else save_file(content, file)
    note.write_text(json.dumps({**read_about(stored), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}))
    with pytest.raises(ValueError, match=sentence):
        read_arrays(stored)


def spied(stored: Path, sharding) -> tuple[dict[str, jax.Array], dict[str, list[int]]]:
    """The placed arrays, and the sizes of what was read for each."""
    spy = Spy(stored.with_suffix(".safetensors"))
    placed, reads = flat(place(spy, SHAPES, sharding)), {}
    for name, size in spy.reads:
        reads.setdefault(name, []).append(size)
    return placed, reads


@pytest.mark.parametrize(
    "sharding",
    [None, SingleDeviceSharding(jax.devices()[3]), whole(make_mesh()), whole(make_mesh(2)), SPLIT],
    ids=["anywhere", "one device", "whole", "whole on a model axis", "split"],
)
def test_placed_weights_are_the_stored_ones(stored, sharding):
    placed, reads = spied(stored, sharding)
    assert same(placed, ARRAYS) and reads.keys() == ARRAYS.keys()
    assert {array.dtype for array in placed.values()} == {jnp.dtype("float32")}


def test_every_device_reads_its_own_slices_only(stored):
    placed, reads = spied(stored, SPLIT)
    for name, home in flat(SPLIT(SHAPES)).items():
        shards, n = placed[name].addressable_shards, 8 if "data" in home.spec else 1
        assert placed[name].sharding == home and len(shards) == 8
        assert {shard.data.size * n for shard in shards} == {ARRAYS[name].size}
        assert all(np.array_equal(shard.data, ARRAYS[name][shard.index]) for shard in shards)
        assert set(reads[name]) == {ARRAYS[name].size // n}
        assert n == 1 or sum(reads[name]) == ARRAYS[name].size
    assert len(placed["blocks/block0/qkv/kernel"].sharding.device_set) == 8
    assert {len(reads[name]) for name in ("blocks/block0/qkv/kernel", "positions")} == {8}


def test_whole_weights_lie_on_every_device(stored):
    placed, _ = spied(stored, whole(make_mesh()))
    assert all(len(a.sharding.device_set) == 8 and a.is_fully_replicated for a in placed.values())


def test_weights_placed_anywhere_are_not_bound_to_a_device(stored):
    """They meet arrays that are split over a mesh, which arrays bound to one device refuse."""
    rows = jax.device_put(jnp.ones((8, 16)), whole(make_mesh()))
    kernel = flat(place(read_arrays(stored), SHAPES))["blocks/block0/qkv/kernel"]
    assert jax.jit(jnp.matmul)(rows, kernel).shape == (8, 48)
    bound = flat(place(read_arrays(stored), SHAPES, SingleDeviceSharding(jax.devices()[0])))["blocks/block0/qkv/kernel"]
    with pytest.raises(ValueError, match="incompatible devices"):
        jax.jit(jnp.matmul)(rows, bound)


def test_half_precision_is_placed_as_float32(tmp_path):
    save_network(tmp_path / "net", {name: array.astype(np.float16) for name, array in ARRAYS.items()}, ABOUT)
    for sharding in (None, SPLIT):
        placed = flat(place(read_arrays(tmp_path / "net"), SHAPES, sharding))
        assert {array.dtype for array in placed.values()} == {jnp.dtype("float32")}
        np.testing.assert_array_equal(placed["positions"], ARRAYS["positions"].astype(np.float16))


def test_weights_that_do_not_fit_are_named_and_none_is_read(tmp_path):
    arrays = {**ARRAYS, "cls": np.ones(3, np.float32), "extra": np.ones(3, np.float32)}
    del arrays["norm/bias"]
    save_network(tmp_path / "net", arrays, ABOUT)
    spy = Spy(tmp_path / "net.safetensors")
    with pytest.raises(
        ValueError, match=r"missing norm/bias; unexpected extra; mis-shaped cls \[3\] instead of \[16\]"
    ):
        place(spy, SHAPES, SPLIT)
    assert spy.reads == []


def test_looking_at_names_and_shapes_reads_nothing(stored):
    spy = Spy(stored.with_suffix(".safetensors"))
    assert set(spy) == set(ARRAYS) and len(spy) == len(ARRAYS) and "cls" in spy and "c" not in spy
    assert {name: spy.shape(name) for name in spy} == {name: array.shape for name, array in ARRAYS.items()}
    assert spy.reads == []
