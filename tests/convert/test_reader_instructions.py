"""Pickles whose instructions make no sense: each is refused in a sentence."""

import struct

import numpy as np
import pytest

from tests.convert.files import (
    Call,
    Global,
    Persistent,
    code,
    pickled,
    refusal,
    storage,
    torch_legacy,
    zipped,
)

FLOATS = np.arange(4, dtype=np.float32)


def proto2(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def proto4(body: bytes) -> bytes:
    return b"\x80\x04" + body + b"."


SENSELESS = {
    "underflow": proto2(b"0"),
    "nothing": proto2(b""),
    "no mark": proto2(b"t"),
    "calls text": proto2(code("os.system") + code(()) + b"R"),
    "calls a number": proto2(code(1) + code(()) + b"R"),
    "arguments are a list": proto2(code(Global("torch.Size")) + b"]R"),
    "too many arguments": pickled(Call("torch.Size", ((1,), 2, 3))),
    "state of a list": proto2(b"]}b"),
    "item of a tuple": proto2(code((1,)) + code(1) + code(2) + b"s"),
    "odd items": proto2(b"}(" + code(1) + b"u"),
    "list as key": proto2(b"}]Ns"),
    "tuple as key": proto2(b"})Ns"),
    "key twice": proto2(b"}(" + code("a") + b"N" + code("a") + b"Nu"),
    "empty memo slot": proto2(b"h\x05"),
    "huge memo slot": proto2(b"Nr\xff\xff\xff\xff"),
    "huge memo slot in text": b"\x80\x02Np99999999999999999999\n.",
    "huge integer": proto2(b"\x8b" + struct.pack("<i", 100_000) + b"\x7f" * 100_000),
    "huge integer in text": proto2(b"L" + b"9" * 100_000 + b"L\n"),
    "negative integer length": proto2(b"\x8b\xff\xff\xff\xff"),
    "10 GB of bytes": b"\x80\x04\x8e" + struct.pack("<Q", 10 << 30) + b"abc.",
    "10 GB of text": b"\x80\x04\x8d" + struct.pack("<Q", 10 << 30) + b"abc.",
    "4 GB of bytes": proto2(b"B\xff\xff\xff\xffabc"),
    "unknown instruction": proto2(b"\xfe"),
    "a bare class": pickled({"x": Global("numpy.dtype")}),
    "a bare storage type": pickled({"x": Global("torch.FloatStorage")}),
    "a storage by itself": pickled({"x": Persistent(("storage", Global("torch.FloatStorage"), "0", "cpu", 1))}),
    "a persistent id in text": proto2(b"P0\n"),
    "a parameter of nothing": pickled(Call("torch._utils._rebuild_parameter", (None, True, None))),
    "a dtype of objects": pickled(Call("numpy.dtype", ("O8", False, True))),
    "a dtype of records": pickled(Call("numpy.dtype", ("V16", False, True))),
    "an array without content": pickled(
        Call("numpy._core.multiarray._reconstruct", (Global("numpy.ndarray"), (0,), b"b"))
    ),
    "an array of another size": pickled(
        Call("numpy._core.numeric._frombuffer", (b"abc", Call("numpy.dtype", ("f4",)), (1,), "C"))
    ),
    "a nested file that is none": pickled(Call("torch.storage._load_from_bytes", (b"abc",))),
    "a persistent class of nothing": pickled(Call("torch_utils.persistence._reconstruct_persistent_obj", (1,))),
}


WORDS = {
    "calls text": "calls something that is no function",
    "odd items": "key without a value",
    "key twice": "twice",
    "huge memo slot": "memo slot 4294967295",
    "huge integer": "799,999 bits",
    "10 GB of bytes": "cut short",
    "a dtype of objects": "O8",
    "a bare class": "numpy.dtype",
    "an array of another size": "has 3 bytes",
}


@pytest.mark.parametrize("case", list(SENSELESS))
def test_a_senseless_pickle_is_refused(tmp_path, case):
    assert WORDS.get(case, "") in refusal(tmp_path, SENSELESS[case])
    refusal(tmp_path, zipped({"a/data.pkl": SENSELESS[case]}))


def test_files_inside_files_inside_a_pickle_are_refused(tmp_path):
    load = "torch.storage._load_from_bytes"
    inner = torch_legacy(storage("0", "float32", 4), {"0": FLOATS})
    middle = torch_legacy(Call(load, (inner,)), {})
    assert "inside PyTorch files" in refusal(tmp_path, pickled(Call(load, (middle,))))
