"""A workdir of an evaluation, a certification or a training, and changes of one of its files by hand."""

import functools
import json
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ssni_jax.journal.status import status
from tests.workdirs import (
    attacked_record,
    certified_records,
    certified_workdir,
    evaluated_workdir,
    trained_workdir,
)

VALUES = (None, -1, 0, 1e308, float("nan"), "x", "", [], {}, [None], True, 2**70, {"kind": "x"})


def planted(rng: random.Random, folder: Path) -> tuple[Path, str, str]:
    """A workdir with one changed file; gives its path, what status says of the unchanged one, and what was done.

    Of a missing unit, and of the metrics of a training, which grow and have no digest, status may say anything.
    """
    kind = rng.choice(("evaluation", "certification", "training"))
    path = folder / kind
    shutil.copytree(made(kind), path)
    before = status(path)
    files = sorted(file for file in path.rglob("*") if file.suffix in (".json", ".jsonl"))
    file = rng.choice(files)
    name, change = rng.choice(list(CHANGES.items()))
    change(rng, file)
    is_open = file.name == "metrics.jsonl" or (file.suffix == ".jsonl" and change is remove)
    return path, ("" if is_open else before), f"{name} in {file.relative_to(path)}"


@functools.cache
def made(kind: str) -> Path:
    """The unchanged workdir, made once in a process."""
    path = Path(tempfile.mkdtemp()) / kind
    if kind == "evaluation":
        return evaluated_workdir(path, "x", [attacked_record(i, draws=[3, 8], answers=[3, 8]) for i in range(12)])
    if kind == "certification":
        return certified_workdir(path, "x", certified_records(n=6))
    return trained_workdir(path)


def flip(rng: random.Random, file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def cut(rng: random.Random, file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: rng.randrange(len(content))])


def remove_line(rng: random.Random, file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    file.write_bytes(b"".join(lines))


def repeat_line(rng: random.Random, file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    place = rng.randrange(len(lines))
    file.write_bytes(b"".join([*lines[:place], lines[place], *lines[place:]]))


def remove_entry(rng: random.Random, file: Path) -> None:
    edit(rng, file, lambda entries, key: entries.pop(key))


def change_entry(rng: random.Random, file: Path) -> None:
    edit(rng, file, lambda entries, key: entries.__setitem__(key, rng.choice(VALUES)))


def edit(rng: random.Random, file: Path, change: Any) -> None:
    """Changes one entry of one JSON value, at any depth."""
    is_lines = file.suffix == ".jsonl"
    values = [json.loads(line) for line in file.read_text().splitlines()] if is_lines else json.loads(file.read_text())
    entries: Any = rng.choice(values) if is_lines else values
    while True:
        key = rng.choice(list(entries) if isinstance(entries, dict) else range(len(entries)))
        if not isinstance(entries[key], dict | list) or not entries[key] or rng.random() < 0.4:
            break
        entries = entries[key]
    change(entries, key)
    text = "".join(json.dumps(value) + "\n" for value in values) if is_lines else json.dumps(values, indent=2)
    file.write_text(text)


def replace(rng: random.Random, file: Path) -> None:
    contents = (b"", b"{}", b"[]", b"null", b"\xff\xfe\x00", b"[" * 100_000, b'{"a": ' * 5000, b"<html></html>")
    file.write_bytes(rng.choice(contents))


def remove(rng: random.Random, file: Path) -> None:
    file.unlink()


CHANGES = {
    "a flipped bit": flip,
    "a file cut short": cut,
    "a line less": remove_line,
    "a line twice": repeat_line,
    "an entry less": remove_entry,
    "another value": change_entry,
    "other content": replace,
    "no file": remove,
}
