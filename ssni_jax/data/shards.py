"""The shards of a prepared data set: records by number, from tfrecord and array_record files, checksums compared."""

import functools
import importlib
import os
import struct
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import google_crc32c
import numpy as np
from jaxtyping import Int

AGAIN = "copy the directory again from its source"
HEADER = struct.Struct("<QI")  # of a tfrecord: the length of the record, and the masked checksum of these eight bytes
CHECKSUM = struct.Struct("<I")  # after the record: its own
ARRAY_RECORD_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"  # the library's advice for random access


@runtime_checkable
class Shard(Protocol):
    """Records by number; ValueError names the file and the record where one is damaged or cut off."""

    def __len__(self) -> int: ...

    def read(self, i: int) -> bytes: ...


class TfRecordShard:
    """A tfrecord file; opening it looks at the length of every record, and a record is read when it is asked for."""

    def __init__(self, path: Path):
        self.path = path
        self.offsets = _offsets(path)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def read(self, i: int) -> bytes:
        """The content of one record."""
        start, end = int(self.offsets[i]), int(self.offsets[i + 1])
        with self.path.open("rb", buffering=0) as file:
            stored = os.pread(file.fileno(), end - start, start)
        if len(stored) < end - start:
            raise damaged(self.path, i, "is cut short, since the file has become shorter", start)
        content = stored[HEADER.size : -CHECKSUM.size]
        if masked_checksum(content) != CHECKSUM.unpack(stored[-CHECKSUM.size :])[0]:
            raise damaged(self.path, i, "does not match its checksum", start)
        return content


class ArrayRecordShard:
    """An array_record file; its library compares a hash of every block that it reads."""

    def __init__(self, path: Path):
        self.path = path
        with path.open("rb"):  # the library says nothing of a file that cannot be opened
            pass
        try:
            library = importlib.import_module("array_record.python.array_record_module")  # of no use to other sources
            self.reader: Any = library.ArrayRecordReader(str(path), ARRAY_RECORD_OPTIONS)
            self.n_records = self.reader.num_records()
        except Exception as error:  # the library raises RuntimeError, ValueError and others
            raise ValueError(f"{path} cannot be opened as array_record ({one_line(error)}): {AGAIN}.") from error

    def __len__(self) -> int:
        return self.n_records

    def read(self, i: int) -> bytes:
        """The content of one record."""
        try:
            (content,) = self.reader.read([i])
        except Exception as error:
            raise damaged(self.path, i, f"cannot be read, {one_line(error)}") from error
        return content


SHARDS: dict[str, type[TfRecordShard] | type[ArrayRecordShard]] = {
    "tfrecord": TfRecordShard,
    "array_record": ArrayRecordShard,
}


def opened(path: Path, file_format: str, n_records: int) -> Shard:
    """A shard of so many records, opened once in a process as long as it does not change."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}, a shard that dataset_info.json names: {AGAIN}.")
    facts = path.stat()
    shard = _OPENED[file_format](path, file_format, n_records, (facts.st_size, facts.st_mtime_ns))
    if isinstance(shard, ValueError):
        raise ValueError(*shard.args)
    return shard


def _open(path: Path, file_format: str, n_records: int, mark: tuple[int, int]) -> Shard | ValueError:
    """The shard, or what is wrong with it: a damaged shard is looked at once, not for each of its records."""
    try:
        shard = SHARDS[file_format](path)
    except ValueError as error:
        return error
    if len(shard) != n_records:
        return ValueError(
            f"{path} holds {len(shard)} whole records, but dataset_info.json says {n_records}; the file is cut short "
            f"or another one: {AGAIN}."
        )
    return shard


# Of a tfrecord file only numbers are kept; every array_record file keeps a descriptor, of which a process has few.
_OPENED = {
    "tfrecord": functools.lru_cache(maxsize=4096)(_open),
    "array_record": functools.lru_cache(maxsize=256)(_open),
}


def damaged(path: Path, i: int, what: str, offset: int | None = None) -> ValueError:
    """The sentence about a record that is not as it was written."""
    place = "" if offset is None else f" at byte {offset}"
    return ValueError(f"{path}: record {i}{place} {what}: {AGAIN}.")


def masked_checksum(content: bytes) -> int:
    """CRC-32C, rotated by 15 bits and moved by a constant, as TFRecord stores it."""
    checksum = google_crc32c.value(content)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def one_line(error: Exception) -> str:
    """The text of a library's error, without line breaks and not too long."""
    return " ".join(str(error).split())[:200].rstrip(".:") or type(error).__name__


def _offsets(path: Path) -> Int[np.ndarray, " N"]:
    """Where each record of a tfrecord file begins, and where the last one ends; lengths are checked, contents not."""
    offsets = [0]
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        while (start := offsets[-1]) < size:
            header = os.pread(file.fileno(), HEADER.size, start)
            if len(header) < HEADER.size:
                raise damaged(path, len(offsets) - 1, "is cut short", start)
            length, checksum = HEADER.unpack(header)
            if masked_checksum(header[:8]) != checksum:
                raise damaged(path, len(offsets) - 1, "has a length that does not match its checksum", start)
            end = start + HEADER.size + length + CHECKSUM.size
            if end > size:
                raise damaged(path, len(offsets) - 1, f"is cut short, the file ends {end - size} bytes early", start)
            offsets.append(end)
    return np.array(offsets, np.int64)
