"""A prepared data set in either format, and mutations of its files that its rows survive or that must be refused."""

import functools
import json
import random
import tempfile
from pathlib import Path

import pytest

from ssni_jax.data import TfdsDirectory
from tests.data.prepared import photographs, write_tfds

IMAGES = photographs(6, 12)
LABELS = [label for _, label in IMAGES]
LENGTHS = (2, 3, 1)


def planted(rng: random.Random, folder: Path) -> tuple[str, str]:
    """Writes a directory with one mutated file; gives its path and what was done."""
    file_format = rng.choice(("tfrecord", "array_record"))
    path = write_tfds(folder / "toy", IMAGES, file_format, LENGTHS)
    name, mutate = rng.choice(list(MUTATIONS.items()))
    shards = sorted((folder / "toy").glob(f"*.{file_format}-*"))
    mutate(rng, rng.choice(shards))
    return path, f"{file_format}: {name}"


@functools.cache
def fingerprint() -> str:
    """Of the rows as they were written."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", f"{folder}/cache")
        return TfdsDirectory(write_tfds(Path(folder) / "toy", IMAGES, "tfrecord", (6,)), size=8).fingerprint


def flipped(rng: random.Random, file: Path) -> None:
    """One bit; most bytes of an array_record file are zeros that only fill blocks."""
    content = bytearray(file.read_bytes())
    places = [i for i, byte in enumerate(content) if byte] if rng.random() < 0.8 else range(len(content))
    content[rng.choice(places)] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def cut(rng: random.Random, file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: rng.randrange(len(content))])


def longer(rng: random.Random, file: Path) -> None:
    file.write_bytes(file.read_bytes() + rng.randbytes(rng.randrange(1, 100)))


def twice(rng: random.Random, file: Path) -> None:
    file.write_bytes(file.read_bytes() * 2)


def exchanged(rng: random.Random, file: Path) -> None:
    """A shard under the name of another."""
    other = rng.choice([shard for shard in file.parent.glob("toy-test*") if shard != file])
    file.write_bytes(other.read_bytes())


def absent(rng: random.Random, file: Path) -> None:
    file.unlink()


def garbage(rng: random.Random, file: Path) -> None:
    file.write_bytes(rng.randbytes(rng.randrange(400)))


def described_wrongly(rng: random.Random, file: Path) -> None:
    """One value of dataset_info.json or features.json is another, or is missing."""
    name = rng.choice(("dataset_info.json", "features.json"))
    content = json.loads((file.parent / name).read_text())
    holder = content
    while True:
        key = rng.choice(list(holder) if isinstance(holder, dict) else list(range(len(holder))))
        if not isinstance(holder[key], dict | list) or not holder[key] or rng.random() < 0.3:
            break
        holder = holder[key]
    if rng.random() < 0.4:
        del holder[key]
    else:
        holder[key] = rng.choice((None, "x", -1, 0, 7, [], {}, ["1"], "99999999999999999999"))
    (file.parent / name).write_text(json.dumps(content))


def cut_description(rng: random.Random, file: Path) -> None:
    name = rng.choice(("dataset_info.json", "features.json"))
    cut(rng, file.parent / name)


MUTATIONS = {
    "a flipped bit": flipped,
    "a shard cut short": cut,
    "bytes after the end": longer,
    "a shard twice in one file": twice,
    "a shard under another name": exchanged,
    "a missing shard": absent,
    "no shard": garbage,
    "another description": described_wrongly,
    "a description cut short": cut_description,
}
