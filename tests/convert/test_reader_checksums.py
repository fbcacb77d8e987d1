"""Checksums of zip archives: one flipped bit in what is read is a refusal, and so are archives without any."""

import struct
import zipfile
import zlib

import numpy as np
import pytest

from ssni_jax.convert.reader import read_checkpoint
from ssni_jax.convert.reading import zip_archive
from tests.convert.files import WEIGHTS, refusal, tensors, torch_zip, written

STATE, STORAGES = tensors(WEIGHTS)
PLAIN, DEFLATED = (torch_zip(STATE, STORAGES, {"archive/byteorder": b"little"}, how) for how in (0, 8))


def entry(archive: bytes, name: str) -> int:
    """Where the directory's entry of a file begins."""
    return archive.rindex(name.encode()) - 46


def with_checksum(archive: bytes, name: str, checksum: int) -> bytes:
    at = entry(archive, name) + 16
    return archive[:at] + struct.pack("<I", checksum) + archive[at + 4 :]


def flipped(archive: bytes, name: str, byte: int) -> bytes:
    """One bit of a plainly stored file's content turned over."""
    (header,) = struct.unpack("<I", archive[entry(archive, name) + 42 :][:4])
    name_length, extra_length = struct.unpack("<HH", archive[header + 26 : header + 30])
    at = header + 30 + name_length + extra_length + byte
    return archive[:at] + bytes([archive[at] ^ 4]) + archive[at + 1 :]


@pytest.mark.parametrize("byte", [0, 40, 95])
@pytest.mark.parametrize("piece", [7, 16 << 20], ids=["in pieces", "at once"])
def test_a_flipped_bit_of_a_weight_is_refused(tmp_path, monkeypatch, byte, piece):
    monkeypatch.setattr(zip_archive, "PIECE", piece)
    sentence = refusal(tmp_path, flipped(PLAIN, "archive/data/0", byte))
    assert "is damaged: archive/data/0 has the CRC-32" in sentence and "download it again" in sentence


@pytest.mark.parametrize("name", ["archive/data.pkl", "archive/byteorder", "archive/data/1"])
def test_a_flipped_bit_of_anything_that_is_read_is_refused(tmp_path, name):
    assert f"{name} has the CRC-32" in refusal(tmp_path, flipped(PLAIN, name, 1))


@pytest.mark.parametrize("name", ["archive/data.pkl", "archive/data/0", "archive/data/2"])
def test_a_packed_file_is_checked_too(tmp_path, name):
    assert f"{name} has the CRC-32" in refusal(tmp_path, with_checksum(DEFLATED, name, 0xABCD))


@pytest.mark.parametrize("archive", [PLAIN, DEFLATED], ids=["plain", "deflated"])
@pytest.mark.parametrize("piece", [1, 7, 96, 97])
def test_whole_files_are_read_in_pieces_of_any_size(tmp_path, monkeypatch, archive, piece):
    monkeypatch.setattr(zip_archive, "PIECE", piece)
    tree = read_checkpoint(written(tmp_path, archive))
    assert {name: array.tobytes() for name, array in tree.items()} == {k: v.tobytes() for k, v in WEIGHTS.items()}


def test_a_file_that_nobody_reads_need_not_be_whole(tmp_path):
    assert set(read_checkpoint(written(tmp_path, flipped(PLAIN, "archive/version", 0)))) == set(WEIGHTS)


def test_an_empty_storage_has_the_checksum_of_nothing(tmp_path):
    state, storages = tensors({"empty": np.zeros((0, 3), np.float32), "one": np.ones(1, np.float32)})
    assert zlib.crc32(b"") == 0
    assert read_checkpoint(written(tmp_path, torch_zip(state, storages)))["empty"].shape == (0, 3)


def test_an_archive_without_checksums_is_told_how_to_get_them(tmp_path):
    """PyTorch writes zeros after torch.serialization.set_crc32_options(False)."""
    archive = PLAIN
    for name in zipfile.ZipFile(written(tmp_path, PLAIN)).namelist():
        archive = with_checksum(archive, name, 0)
    sentence = refusal(tmp_path, archive)
    assert "has no checksums" in sentence and "set_crc32_options(True)" in sentence
    assert "CRC-32" in refusal(tmp_path, with_checksum(PLAIN, "archive/data/0", 0))
