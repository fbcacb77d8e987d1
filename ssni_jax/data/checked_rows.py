"""One pass over the rows of a set of records: each is read, decoded and hashed once, and the result is remembered."""

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ssni_jax.data.decode import decoded
from ssni_jax.data.encoded import EncodedImage, EncodedImages
from ssni_jax.data.hashing import first_of, place_of, with_bar
from ssni_jax.files import write_bytes

N_AT_ONCE = 64  # rows of a task
MOST_LABEL, LEAST_LABEL = 2**31 - 1, -(2**31)


class RowRange(NamedTuple):
    """Which rows of which directory, and a mark that changes when their files may have changed."""

    root: Path
    name: str
    mark: str


class CheckedRows(NamedTuple):
    """What is kept of the rows.

    `sha256` is of their image files and labels in order, and of nothing else. `sizes` holds height and width of the
    first picture, and number, height and width of the first one of another size.
    """

    sha256: str
    labels: tuple[int, ...]
    sizes: tuple[tuple[int, ...], ...]


class _Row(NamedTuple):
    """The sha256 of an image file, its label, and the size of its picture."""

    digest: bytes
    label: int
    size: tuple[int, int]


def checked_rows(rows: RowRange, source: EncodedImages) -> CheckedRows:
    """What the rows hold, after decoding them all; ValueError names those that cannot be read.

    What was checked before is remembered by size and modification time in the user's cache, as that of image files.
    """
    file = place_of(f"{rows.root.resolve()}\0{rows.name}\0{source.n_channels}")
    known = _read_known(file, rows.mark)
    if known is None:
        known = _looked(rows.root, source)
        with suppress(OSError):  # a cache that cannot be written is no error
            write_bytes(file, json.dumps([rows.mark, *known]).encode())
    return known


def _looked(root: Path, source: EncodedImages) -> CheckedRows:
    """Reads and decodes all rows, several at a time."""
    digest, labels, sizes = hashlib.sha256(), [], []
    errors: dict[str, tuple[str, ValueError | OSError]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        starts = range(0, len(source), N_AT_ONCE)
        parts = pool.map(_part_of(source), starts)
        for i, row in enumerate(with_bar((row for part in parts for row in part), len(source), root)):
            if not isinstance(row, _Row):
                errors.setdefault(str(row), (f"image {i}", row))  # all rows of a cut file have one error
                continue
            digest.update(row.digest + f" {row.label}\n".encode())
            labels.append(row.label)
            if not sizes:
                sizes.append(row.size)
            elif len(sizes) == 1 and row.size != sizes[0]:
                sizes.append((i, *row.size))
    if errors:
        raise first_of(dict(errors.values()), "images")
    return CheckedRows(digest.hexdigest(), tuple(labels), tuple(sizes))


def _part_of(source: EncodedImages) -> Callable[[int], list[_Row | ValueError | OSError]]:
    def look(start: int) -> list[_Row | ValueError | OSError]:
        stop = min(start + N_AT_ONCE, len(source))
        return [_attempt(source, i) for i in range(start, stop)]

    return look


def _attempt(source: EncodedImages, i: int) -> _Row | ValueError | OSError:
    try:
        image = source.encoded(i)
        return _Row(hashlib.sha256(image.content).digest(), _label(image), _size(image, source.n_channels))
    except (ValueError, OSError) as error:
        return error


def _label(image: EncodedImage) -> int:
    if not LEAST_LABEL <= image.label <= MOST_LABEL:
        raise ValueError(f"{image.name} has the label {image.label}, which is no class: give whole numbers from 0.")
    return image.label


def _size(image: EncodedImage, n_channels: int) -> tuple[int, int]:
    width, height = decoded(image.content, image.name, n_channels).size
    return height, width


def _read_known(file: Path, mark: str) -> CheckedRows | None:
    with suppress(OSError, ValueError, TypeError):
        stored, sha256, labels, sizes = json.loads(file.read_text())
        if stored == mark:
            return CheckedRows(sha256, tuple(labels), tuple(map(tuple, sizes)))
    return None
