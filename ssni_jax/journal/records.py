"""What was found out about each image: one line of JSON an image, appended batch by batch, one file a process."""

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict

from ssni_jax.files.atomic import disk_error, plain


class Record(TypedDict):
    """One image under one defence. t has one entry a round; norm and t are None where a method measures none."""

    id: int
    label: int
    clean_prediction: int  # of the defence, on the untouched image
    clean_t: list[float | None] | None
    clean_norm: float | None
    clean_nfe: float
    adversarial_prediction: int  # of the defence, on the adversarial image, first fresh key
    adversarial_draws: list[int]  # the same under every fresh key
    adversarial_t: list[float | None] | None
    adversarial_norm: float | None
    adversarial_nfe: float
    undefended_prediction: int  # of the bare classifier, on the adversarial image
    linf: float | None  # None, as any number here that was NaN
    l2: float | None
    seconds: float  # of the defended prediction, amortised over its batch, without compilation
    valid: bool  # False when any logit was NaN: neither correct nor robust


class RecordWriter:
    """Appends batches of records to one process's file: a batch that fails leaves nothing behind.

    Opening cuts off a half-written last line, and keeps a lock, so that a second run in the same workdir is refused.
    """

    def __init__(self, workdir: Path, process: int = 0):
        self.path = workdir / f"records-{process}.jsonl"
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise disk_error(self.path, error) from error
        self._lock()
        os.ftruncate(self._file, _complete(self.path.read_bytes()))

    def append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """All of `records` in a single write, on disk when this returns; else none of them and an OSError."""
        content = "".join(json.dumps(plain(record), allow_nan=False) + "\n" for record in records).encode()
        before = os.fstat(self._file).st_size
        try:
            if os.write(self._file, content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, before)
            raise disk_error(self.path, error) from error

    def close(self) -> None:
        """Lets go of the file and its lock."""
        os.close(self._file)

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            message = f"{self.path} is being written by another run; wait for it or pass another --workdir."
            raise OSError(message) from error
        except OSError:
            pass  # a file system without locks: the duplicates of two runs are still refused when read


def read_records(path: Path) -> list[Any]:
    """The records of one file, without a half-written last line."""
    content = path.read_bytes()
    lines = content[: _complete(content)].splitlines()
    return [_parse(path, number, line) for number, line in enumerate(lines, start=1)]


def merge_records(workdir: Path, unit: tuple[str, ...] = ("id",)) -> list[Any]:
    """The records of all processes in the order of their `unit`, the fields that tell them apart; no unit twice."""
    merged: dict[tuple[Any, ...], Any] = {}
    home: dict[tuple[Any, ...], str] = {}
    for path in sorted(workdir.glob("records-*.jsonl")):
        for record in read_records(path):
            key = tuple(record[name] for name in unit)
            if key in merged:
                raise ValueError(
                    f"{workdir} has {_named(unit, key)} twice, in {home[key]} and {path.name};"
                    " delete one of the two lines or evaluate into a new --workdir."
                )
            merged[key], home[key] = record, path.name
    return [merged[key] for key in sorted(merged)]


def completed_ids(workdir: Path) -> set[int]:
    """Images that need not be evaluated again, whichever process and however many of them did it."""
    return {record["id"] for record in merge_records(workdir)}


def missing_ids(planned: Iterable[int], records: Sequence[Mapping[str, Any]]) -> list[int]:
    """Planned images without a record, in order; a record that was never planned is an error."""
    planned, done = set(planned), {record["id"] for record in records}
    if done - planned:
        raise ValueError(
            f"Image {min(done - planned)} has a record but is not among the {len(planned)} planned images;"
            " the workdir mixes two runs: evaluate into a new --workdir."
        )
    return sorted(planned - done)


def _complete(content: bytes) -> int:
    """Bytes up to and with the last line end."""
    return content.rfind(b"\n") + 1


def _named(unit: tuple[str, ...], key: tuple[Any, ...]) -> str:
    """image 4, or image 4 at sigma 0.25."""
    rest = [f"{name} {value}" for name, value in zip(unit[1:], key[1:], strict=True)]
    return " at ".join([f"image {key[0]}", *rest])


def _parse(path: Path, number: int, line: bytes) -> Any:
    try:
        record = json.loads(line)
        if record["id"] is not None:
            return record
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{path} line {number} is no record; delete that line and run the same command again to redo it.")
