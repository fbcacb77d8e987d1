"""Archives, legacy files, safetensors and msgpack that lie about their sizes or names: each is refused."""

import struct
import zipfile
from typing import Any

import msgpack
import numpy as np
import pytest

from tests.convert.files import (
    pickled,
    rebuilt,
    refusal,
    storage,
    torch_legacy,
    torch_zip,
    zipped,
)

FLOATS = np.arange(4, dtype=np.float32)


PLAIN = {"archive/data.pkl": pickled({}), "archive/version": b"3"}


def patched(archive: bytes, name: bytes, at: int, value: bytes) -> bytes:
    """The archive with bytes changed in the directory's entry of `name`, `at` counted from its signature."""
    where = archive.rindex(name) - 46 + at
    return archive[:where] + value + archive[where + len(value) :]


def overlapping() -> bytes:
    """Two directory entries over the same bytes."""
    archive = zipped({**PLAIN, "archive/data/0": bytes(16), "archive/data/1": bytes(16)})
    first = archive.rindex(b"archive/data/0") - 46
    return patched(archive, b"archive/data/1", 42, archive[first + 42 : first + 46])


ARCHIVES = {
    "path that climbs": (zipped({**PLAIN, "archive/../../evil": b""}), "may leave its folder"),
    "absolute path": (zipped({**PLAIN, "/etc/cron.d/evil": b""}), "may leave its folder"),
    "path of Windows": (zipped({**PLAIN, "C:evil": b""}), "may leave its folder"),
    "two folders": (zipped({**PLAIN, "other/data/0": b""}), "2 folders"),
    "TorchScript": (zipped({**PLAIN, "archive/code/__torch__.py": b""}), "TorchScript"),
    "TorchScript constants": (zipped({**PLAIN, "archive/constants.pkl": b""}), "TorchScript"),
    "npz": (zipped({"a.npy": b""}), "npz"),
    "another archive": (zipped({"photos/cat.jpg": b""}), "no PyTorch file"),
    "big-endian": (zipped({**PLAIN, "archive/byteorder": b"big"}), "big-endian"),
    "overlapping files": (overlapping(), "overlap"),
    "encrypted": (patched(zipped(PLAIN), b"archive/version", 8, b"\x01\x00"), "encrypted"),
    "unknown packing": (patched(zipped(PLAIN), b"archive/version", 10, b"\x63\x00"), "method 99"),
    "10 GB in the directory": (patched(zipped(PLAIN), b"archive/version", 20, b"\xfe\xff\xff\xff" * 2), "outside"),
    "two sizes": (patched(zipped(PLAIN), b"archive/version", 24, b"\xfe\xff\xff\xff"), "two sizes"),
    "directory cut off": (zipped(PLAIN)[:-30], "directory"),
    "empty archive": (b"PK\x05\x06" + bytes(18), "empty zip"),
}


@pytest.mark.parametrize("case", list(ARCHIVES))
def test_an_archive_that_lies_is_refused(tmp_path, case):
    archive, words = ARCHIVES[case]
    assert words in refusal(tmp_path, archive)
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pth"]


def test_two_files_of_one_name_are_refused(tmp_path):
    evil = zipped({**PLAIN, "archive/data/0": b"", "archive/data/1": b""}).replace(b"archive/data/1", b"archive/data/0")
    assert "two files of one name" in refusal(tmp_path, evil)


def test_a_compression_bomb_is_refused_before_it_is_unpacked(tmp_path):
    evil = torch_zip({}, {}, {"archive/byteorder": bytes(200 << 20)}, zipfile.ZIP_DEFLATED)
    assert "unfolds into more bytes" in refusal(tmp_path, evil)


def test_a_deflated_file_of_another_size_is_refused(tmp_path):
    archive = zipped({"archive/data.pkl": pickled({}), "archive/version": b"3"}, zipfile.ZIP_DEFLATED)
    assert "another size" in refusal(tmp_path, patched(archive, b"archive/data.pkl", 24, b"\x01\x00\x00\x00"))


LEGACY = {
    "big-endian": (torch_legacy({}, {}, little_endian=False), "big-endian"),
    "a key that no tensor uses": (torch_legacy({}, {"0": FLOATS}), "no tensor uses"),
    "a key twice": (torch_legacy({}, {}, keys=["0", "0"]), "different names"),
    "keys that are no text": (torch_legacy({}, {}, keys=[1]), "different names"),
    "no keys": (torch_legacy(rebuilt(storage("0", "float32", 4), (4,)), {"0": FLOATS}, keys=[]), "missing"),
    "10 GB in the count": (
        torch_legacy(rebuilt(storage("0", "float32", 4), (4,)), {"0": FLOATS})[:-24]
        + struct.pack("<q", 10 << 28)
        + bytes(16),
        "elements where",
    ),
    "a negative count": (
        torch_legacy(rebuilt(storage("0", "float32", 4), (4,)), {"0": FLOATS})[:-24]
        + struct.pack("<q", -1)
        + bytes(16),
        "elements where",
    ),
    "10 GB claimed twice alike": (
        torch_legacy(rebuilt(storage("0", "float32", 10 << 28), (4,)), {}, keys=["0"]) + struct.pack("<q", 10 << 28),
        "cut short",
    ),
}


@pytest.mark.parametrize("case", list(LEGACY))
def test_a_legacy_file_that_lies_is_refused(tmp_path, case):
    content, words = LEGACY[case]
    assert words in refusal(tmp_path, content)


def headed(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


SAFETENSORS = {
    "10 GB of header": struct.pack("<Q", 10 << 30) + b'{"a"',
    "nested header": headed(b'{"a":' + b"[" * 100_000),
    "shape without end": headed(
        b'{"a":{"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,4]}}', bytes(4)
    ),
    "negative shape": headed(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', bytes(4)),
    "data beyond the file": headed(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(4)),
    "data that overlap": headed(
        b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "a name twice": headed(
        b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "unknown type": headed(b'{"a":{"dtype":"Q7","shape":[4],"data_offsets":[0,4]}}', bytes(4)),
    "no JSON": headed(b"{'a'}"),
}


SAFETENSORS_WORDS = {
    "10 GB of header": "claims a safetensors header of 10,737,418,240 bytes",
    "data beyond the file": "cut short",
    "a name twice": "a name twice",
}


@pytest.mark.parametrize("case", list(SAFETENSORS))
def test_safetensors_that_lie_are_refused(tmp_path, case):
    assert SAFETENSORS_WORDS.get(case, "header") in refusal(tmp_path, SAFETENSORS[case])


def packed(value: Any) -> bytes:
    found = msgpack.packb(value)
    assert found
    return found


def ext(code: int, content: object) -> bytes:
    return packed({"x": msgpack.ExtType(code, packed(content))})


def pieces(shape: object, chunks: object) -> bytes:
    return packed({"__msgpack_chunked_array__": True, "shape": shape, "chunks": chunks})


MSGPACK = {
    "10 GB of bytes": b"\x81\xa1a\xc6\xff\xff\xff\xff",
    "10 GB of text": b"\x81\xa1a\xdb\xff\xff\xff\xff",
    "an endless list": b"\x81\xa1a\xdd\xff\xff\xff\xff",
    "an endless dictionary": b"\x81\xa1a\xdf\xff\xff\xff\xff",
    "many endless lists": b"\x81\xa1a" + b"\xdd\x00\x00\x7f\xff" * 500,
    "an endless list in a long file": b"\x82\xa1a\xdd\x00\x00\xff\xff" + b"\xc0" * 0xFFFF + b"\xa1b\xc0",
    "nested lists": b"\x81\xa1a" + b"\x91" * 100_000 + b"\xc0",
    "nested dictionaries": b"\x81\xa1a" * 100_000 + b"\xc0",
    "nested 300 deep": b"\x81\xa1a" + b"\x91" * 300 + b"\xc0",
    "unknown extension": ext(9, 1),
    "an array of objects": ext(1, ((1,), "object", bytes(8))),
    "an array of records": ext(1, ((1,), "V8", bytes(8))),
    "an array shorter than its shape": ext(1, ((1 << 38,), "float32", bytes(8))),
    "an array longer than its shape": ext(1, ((1,), "float32", bytes(8))),
    "an array beyond counting": ext(1, ((1 << 61, 1 << 61), "float32", bytes(8))),
    "an array of negative size": ext(1, ((-1,), "float32", bytes(4))),
    "an array that is none": ext(1, 7),
    "a scalar with a shape": ext(3, ((2,), "float32", bytes(8))),
    "a complex of texts": ext(2, ("1", "2")),
    "a time": packed({"x": msgpack.Timestamp(1)}),
    "bytes as a key": packed({b"x": 1}),
    "a list as a key": b"\x81\x91\x01\x01",
    "a key twice": b"\x82\xa1a\x01\xa1a\x02",
    "more after the end": packed({"a": 1}) + b"\x01",
    "pieces without a shape": pieces(None, {}),
    "pieces that are numbers": pieces({"0": 1}, {"0": 1}),
    "pieces that are not numbered": pieces({"0": 1}, {"a": 1}),
    "text that is none": b"\x81\xa1a\xa2\xff\xff",
}


MSGPACK_WORDS = {
    "10 GB of bytes": "cut short",
    "an endless list in a long file": "max_array_len",
    "an array of objects": "of type object",
    "an array longer than its shape": "has 8 bytes",
    "an array shorter than its shape": "has 8 bytes",
    "a scalar with a shape": "has the shape [2]",
    "pieces that are not numbered": "not numbered",
    "more after the end": "ends before the file does",
}


@pytest.mark.parametrize("case", list(MSGPACK))
def test_msgpack_that_lies_is_refused(tmp_path, case):
    assert MSGPACK_WORDS.get(case, "") in refusal(tmp_path, MSGPACK[case])
