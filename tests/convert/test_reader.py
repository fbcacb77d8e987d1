"""The checkpoint reader on good files: every format gives the same weights, and objects become data."""

import zipfile

import ml_dtypes
import numpy as np
import pytest
from flax import serialization
from safetensors.numpy import save

from ssni_jax.convert.reader import read_checkpoint
from ssni_jax.convert.reading import CheckpointError, nonfinite
from tests.convert.files import (
    WEIGHTS,
    Call,
    Global,
    Raw,
    edm,
    good,
    pickled,
    rebuilt,
    shared,
    storage,
    tensors,
    torch_legacy,
    torch_zip,
    written,
)

COUNT = np.arange(6, dtype=np.float32)
BFLOATS = np.array([1.0, -2.5, 3.1415926, 1e-40, np.inf, -0.0, np.nan], np.float32).astype(ml_dtypes.bfloat16)


@pytest.fixture
def read(tmp_path):
    return lambda content: read_checkpoint(written(tmp_path, content))


def same(found: dict, expected: dict) -> None:
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_a_torch_zip_gives_its_weights(read):
    found = read(good()["torch zip"])
    same(found["model"], WEIGHTS)
    assert found["epoch"] == 3


def test_a_legacy_torch_file_gives_its_weights(read):
    same(read(good()["torch legacy"])["model"], WEIGHTS)


def test_safetensors_give_their_weights(read):
    same(read(good()["safetensors"]), WEIGHTS)


def test_flax_bytes_give_their_weights(read):
    found = read(good()["flax"])
    same(found["params"], WEIGHTS)
    assert found["lr"] == 0.5
    assert found["step"] == 9


def test_a_persistent_object_is_its_class_name_and_state(read):
    found = read(edm(WEIGHTS))["ema"]
    assert set(found) == {"class_name", "state"}
    assert found["class_name"] == "EDMPrecond"
    same(found["state"]["_parameters"], WEIGHTS)
    assert found["state"]["sigma_max"] == np.inf


def test_a_module_of_torch_is_its_class_name_and_state(read):
    child = read(edm(WEIGHTS))["ema"]["state"]["_modules"]["act"]
    assert child == {
        "class_name": "torch.nn.modules.activation.SiLU",
        "state": {"training": False, "_parameters": {}},
    }


def test_a_deflated_archive_reads_like_a_plain_one(read):
    state, storages = tensors(WEIGHTS)
    same(read(torch_zip(state, storages, compression=zipfile.ZIP_DEFLATED)), WEIGHTS)


def test_tensors_of_one_storage_share_memory(read):
    source = storage("0", "float32", 6)
    found = read(torch_zip({"all": rebuilt(source, (6,)), "end": rebuilt(source, (2,), offset=4)}, {"0": COUNT}))
    assert np.shares_memory(found["all"], found["end"])
    assert found["end"].tolist() == [4, 5]


def test_strides_are_followed(read):
    transposed = rebuilt(storage("0", "float32", 6), (3, 2), (1, 3))
    found = read(torch_zip(transposed, {"0": COUNT}))
    assert found.tolist() == COUNT.reshape(2, 3).T.tolist()
    assert found.flags.c_contiguous


def test_every_array_is_contiguous_and_aligned(read):
    for content in good().values():
        for array in arrays(read(content)):
            assert array.flags.c_contiguous
            assert array.flags.aligned


def arrays(tree):
    if isinstance(tree, np.ndarray):
        return [tree]
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else []
    return [array for child in children for array in arrays(child)]


def test_empty_tensors_keep_their_shape(read):
    found = read(torch_zip(rebuilt(storage("0", "float32", 0), (0, 5)), {"0": b""}))
    assert found.shape == (0, 5)


def test_old_views_of_storages_are_followed(read):
    source = storage("0", "float32", 6, view=("v", 2, 3))
    assert read(torch_legacy(rebuilt(source, (3,)), {"0": COUNT})).tolist() == [2, 3, 4]


@pytest.mark.parametrize("form", ["torch zip", "torch legacy", "safetensors", "flax"])
def test_bfloat16_becomes_float32_exactly(read, form):
    bits = BFLOATS.view(np.uint16)
    claim = rebuilt(storage("0", "bfloat16", BFLOATS.size), BFLOATS.shape)
    content = {
        "torch zip": lambda: torch_zip(claim, {"0": bits}),
        "torch legacy": lambda: torch_legacy(claim, {"0": bits}),
        "safetensors": lambda: save({"x": bits}).replace(b'"U16"', b'"BF16"').replace(b"}} ", b"}}", 1),
        "flax": lambda: serialization.msgpack_serialize({"x": BFLOATS}),
    }[form]()
    found = read(content)
    found = found["x"] if isinstance(found, dict) else found
    assert found.dtype == np.float32
    assert found.tobytes() == BFLOATS.astype(np.float32).tobytes()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": (1, [2.5, None, True])}, {"a": (1, [2.5, None, True])}),
        (Call("torch.Size", ((2, 3),)), (2, 3)),
        (Call("torch.device", ("cuda", 1)), "cuda:1"),
        (Global("torch.float16"), "torch.float16"),
        (Call("argparse.Namespace", (), {"lr": 0.5}), {"lr": 0.5}),
        (Call("collections.OrderedDict", ([["a", 1], ["b", 2]],)), {"a": 1, "b": 2}),
        (Call("collections.OrderedDict", (), {"_metadata": 1}), {}),
        (Call("builtins.set", ([1, 2],)), [1, 2]),
        (Raw(b"\x8f(K\x01\x90"), [1]),
        (2**100, 2**100),
        ({7: -1}, {7: -1}),
        (Call("numpy._core.multiarray.scalar", (Call("numpy.dtype", ("f8", False, True)), bytes(8))), 0.0),
    ],
    ids=str,
)
def test_harmless_objects_become_data(read, value, expected):
    assert read(pickled(value)) == expected


@pytest.mark.parametrize("order", ["<", ">"])
def test_numpy_arrays_in_a_pickle_are_read_in_either_byte_order(read, order):
    array = np.arange(6.0).reshape(2, 3)
    dtype = Call("numpy.dtype", ("f8", False, True), (3, order, None, None, None, -1, -1, 0))
    empty = ("numpy._core.multiarray._reconstruct", (Global("numpy.ndarray"), (0,), b"b"))
    found = read(pickled(Call(*empty, (1, (2, 3), dtype, False, array.astype(f"{order}f8").tobytes()))))
    assert found.tolist() == array.tolist()
    assert found.dtype == np.float64


def test_bytes_are_an_array(read):
    assert read(pickled(b"ab")).tolist() == [97, 98]


def test_flax_arrays_in_pieces_are_one_again(read, monkeypatch):
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 16)
    found = read(serialization.msgpack_serialize({"x": np.arange(12.0).reshape(3, 4)}))
    assert found["x"].tolist() == np.arange(12.0).reshape(3, 4).tolist()


def test_flax_complex_numbers_are_arrays_without_axes(read):
    assert read(serialization.msgpack_serialize({"x": 1 + 2j}))["x"].item() == 1 + 2j


def test_arrays_outlive_the_file(tmp_path):
    path = written(tmp_path, good()["torch zip"])
    found = read_checkpoint(path)
    path.unlink()
    same(found["model"], WEIGHTS)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        read_checkpoint(tmp_path / "nowhere.pth")


def test_nonfinite_weights_are_listed_by_path():
    tree = {"a": [np.ones(2), np.array([np.nan])], "b": {"c": np.array([np.inf])}, "n": np.array([1]), "f": np.inf}
    assert nonfinite(tree) == ["a/1", "b/c"]


@pytest.mark.parametrize(
    ("name", "path", "shape"),
    [
        ("data/checkpoints/resnet20-12fca82f.th", ("state_dict", "module.conv1.weight"), (16, 3, 3, 3)),
        ("data/checkpoints/lpips_v0.1_vgg.pth", ("lin4.model.1.weight",), (1, 512, 1, 1)),
        ("data/checkpoints/cifar_cnn_a_adv.model", ("0.weight",), (16, 3, 4, 4)),
        ("data/checkpoints/squeezenet1_1_imagenet_torchvision.pth", ("classifier.1.weight",), (1000, 512, 1, 1)),
    ],
)
def test_real_files_are_read(name, path, shape):
    found = read_checkpoint(shared(name))
    assert nonfinite(found) == []
    for key in path:
        found = found[key]
    assert found.shape == shape


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\n <html lang='en'>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"\x1f\x8b\x08" + bytes(20), "gzip"),
        (bytes(257) + b"ustar\x00" + bytes(200), "tar archive"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(20), "7z"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5"),
        (b"\x08\x07\x12\x07pytorch", "ONNX"),
        (b"\x93NUMPY\x01\x00", r"\.npy"),
        (b"Not Found. Try later, please\n", "plain text"),
        (b"\x00\x01\x02\x03", r"begins with b'\\x00\\x01\\x02\\x03'"),
    ],
)
def test_other_files_are_named_as_what_they_are(read, content, words):
    with pytest.raises(CheckpointError, match=words):
        read(content)


def test_a_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="folder"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("form", list(good()))
def test_a_cut_file_is_refused_wherever_it_ends(read, form):
    whole = good()[form]
    for end in range(1, len(whole), 7):
        with pytest.raises(CheckpointError):
            read(whole[:end])
