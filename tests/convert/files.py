"""Checkpoint files made byte by byte: good ones of all formats, and the parts that bad ones are made of. No torch."""

import dataclasses
import io
import math
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from flax import serialization
from safetensors.numpy import save

from ssni_jax.convert.reader import read_checkpoint
from ssni_jax.convert.reading import CheckpointError

WEIGHTS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2) - 7.5,
    "conv.bias": np.array([0.25, -1e30], np.float32),
    "steps": np.array(7, np.int64),
}
STORAGE_TYPES = {
    "float32": "FloatStorage",
    "int64": "LongStorage",
    "float64": "DoubleStorage",
    "bfloat16": "BFloat16Storage",
}
MAGIC = 0x1950A86A20F9469CFC6C


@dataclasses.dataclass(frozen=True)
class Global:
    """A global "module.name" in a pickle."""

    name: str


@dataclasses.dataclass(frozen=True)
class Call:
    """A global called with arguments, and then given a state unless that is None."""

    name: str
    args: tuple = ()
    state: Any = None


@dataclasses.dataclass(frozen=True)
class Persistent:
    """A reference to something beside the pickle."""

    pid: Any


@dataclasses.dataclass(frozen=True)
class Raw:
    """Instructions as they are."""

    code: bytes


def pickled(value: Any) -> bytes:
    """A pickle of protocol 2 that nothing was imported for."""
    return b"\x80\x02" + code(value) + b"."


def code(value: Any) -> bytes:
    """The instructions that push `value`."""
    match value:
        case Raw():
            return value.code
        case Global():
            return "c{}\n{}\n".format(*value.name.rsplit(".", 1)).encode()
        case Call():
            built = code(Global(value.name)) + code(value.args) + b"R"
            return built if value.state is None else built + code(value.state) + b"b"
        case Persistent():
            return code(value.pid) + b"Q"
        case dict():
            return b"}(" + b"".join(code(k) + code(v) for k, v in value.items()) + b"u"
        case list():
            return b"](" + b"".join(map(code, value)) + b"e"
        case tuple():
            return b"(" + b"".join(map(code, value)) + b"t"
    return scalar_code(value)


def scalar_code(value: Any) -> bytes:
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(raw)]) + raw
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
    raise TypeError(type(value))


def storage(key: str, element: str, numel: Any, view: tuple | None = None) -> Persistent:
    """torch's reference to a storage; with `view` as files before PyTorch 0.4 have it."""
    pid = ("storage", Global(f"torch.{STORAGE_TYPES[element]}"), key, "cpu", numel)
    return Persistent(pid if view is None else (*pid, view))


def rebuilt(source: Any, size: tuple, stride: tuple | None = None, offset: Any = 0) -> Call:
    """torch's call that makes a tensor of a storage."""
    stride = row_major(size) if stride is None else stride
    return Call(
        "torch._utils._rebuild_tensor_v2", (source, offset, size, stride, False, Call("collections.OrderedDict"))
    )


def row_major(size: tuple) -> tuple:
    return tuple(math.prod(size[axis + 1 :]) for axis in range(len(size)))


def tensors(arrays: dict[str, np.ndarray]) -> tuple[dict[str, Call], dict[str, np.ndarray]]:
    """The state dict of `arrays`, and its storages by key."""
    storages = {str(i): array for i, array in enumerate(arrays.values())}
    state = {
        name: rebuilt(storage(str(i), array.dtype.name, array.size), array.shape)
        for i, (name, array) in enumerate(arrays.items())
    }
    return state, storages


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive whose files begin at multiples of 64 bytes, as PyTorch's do."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            padding = -(file.tell() + 30 + len(name) + 4) % 64
            entry.extra, entry.compress_type = struct.pack("<HH", 0x4246, padding) + bytes(padding), compression
            archive.writestr(entry, content)
    return file.getvalue()


def raw(content: Any) -> bytes:
    return content if isinstance(content, bytes) else content.tobytes()


def torch_zip(
    value: Any,
    storages: dict[str, Any],
    more: Mapping[str, bytes] = MappingProxyType({}),
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """PyTorch's format since 1.6."""
    content = {f"archive/data/{key}": raw(array) for key, array in storages.items()}
    return zipped({"archive/data.pkl": pickled(value), "archive/version": b"3\n", **content, **more}, compression)


def torch_legacy(value: Any, storages: dict[str, Any], little_endian: bool = True, keys: list | None = None) -> bytes:
    """PyTorch's format before 1.6."""
    system = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"int": 4}}
    pickles = [MAGIC, 1001, system, value, list(storages) if keys is None else keys]
    counted = [struct.pack("<q", array.size) + raw(array) for array in storages.values()]
    return b"".join([*map(pickled, pickles), *counted])


def edm(arrays: dict[str, np.ndarray]) -> bytes:
    """A network snapshot of EDM's."""
    parameters = {}
    for name, array in arrays.items():
        file = torch_legacy(storage("0", array.dtype.name, array.size), {"0": array})
        held = rebuilt(Call("torch.storage._load_from_bytes", (file,)), array.shape)
        parameters[name] = Call("torch._utils._rebuild_parameter", (held, True, Call("collections.OrderedDict")))
    child = Call("torch.nn.modules.activation.SiLU", (), {"training": False, "_parameters": {}})
    state = {"_parameters": parameters, "_buffers": {}, "_modules": {"act": child}, "sigma_max": math.inf}
    meta = {"type": "class", "version": 6, "module_src": "import os", "class_name": "EDMPrecond", "state": state}
    return pickled({"ema": Call("torch_utils.persistence._reconstruct_persistent_obj", (meta,)), "loss_fn": None})


def good() -> dict[str, bytes]:
    """A small valid file of every format, with the same weights."""
    state, storages = tensors(WEIGHTS)
    return {
        "torch zip": torch_zip({"model": state, "epoch": 3}, storages),
        "torch legacy": torch_legacy({"model": state, "epoch": 3}, storages),
        "EDM pickle": edm(WEIGHTS),
        "safetensors": save(WEIGHTS),
        "flax": serialization.msgpack_serialize({"params": dict(WEIGHTS), "lr": np.float32(0.5), "step": 9}),
    }


def towers(n: int) -> dict[str, bytes]:
    """Pickles that put `n` containers into each other, in the result or where a reader may trip over them."""
    tower = b")" + b"\x85" * n
    pickles = {
        "nested tuples": tower,
        "nested lists": b"]" * n + b"a" * (n - 1),
        "nested dictionaries": b"}" + b"U\x01a}" * n + b"s" * n,
        "nested marks": b"(" * n,
        "a tower as a state": code(Call("torch.nn.modules.activation.SiLU")) + tower + b"b",
        "a tower as a size": code(rebuilt(Raw(tower), (1,))),
        "a tower as a global": tower + code("x") + b"\x93",
        "a tower as a key": b"}" + tower + b"Ns",
        "a tower as a set": code(Call("builtins.set", (Raw(b"]" * n + b"a" * (n - 1)),))),
        "a tower as a dtype": code(Call("numpy.dtype", (Raw(tower),))),
        "a tower as a device": code(Call("torch.device", (Raw(tower),))),
    }
    return {name: b"\x80\x04" + body + b"." for name, body in pickles.items()}


SHARED = {
    "score_sde": "parity/score_sde_small/checkpoint_8.pth",
    "edm": "parity/edm_ddpmpp_small/network-snapshot.pkl",
    "jcm": "parity/jcm_small/checkpoint_7",
}


def shared_folder() -> Path:
    """Where larger real files may lie: $SSNI_SHARED, or `shared` beside the repository."""
    return Path(os.environ.get("SSNI_SHARED") or Path(__file__).parents[2].parent / "shared")


def shared(name: str) -> Path:
    """A file of the shared folder; a test that asks for a missing one is skipped."""
    path = shared_folder() / name
    if not path.exists():
        pytest.skip(f"{name} is not here: set SSNI_SHARED to the folder that has it")
    return path


def written(folder: Path, content: bytes, name: str = "file.bin") -> Path:
    """`content` in a file."""
    path = folder / name
    path.write_bytes(content)
    return path


def refusal(folder: Path, content: bytes) -> str:
    """The sentence that the reader refuses a file with: it names the file, and no exception was its cause."""
    path = written(folder, content, "evil.pth")
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)
