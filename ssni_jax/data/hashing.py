"""The content hash of files, remembered so that each file is read once: names, labels and encoded bytes."""

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

CHUNK = 1 << 20


def content_hash(root: Path, files: Iterable[tuple[Path, int]]) -> str:
    """The sha256 of the relative names, labels and bytes of files below `root`; the same on every host.

    What was read before is remembered by path, size and modification time in the user's cache; the hash itself knows
    nothing of times. XDG_CACHE_HOME chooses another place.
    """
    known = _read_known(root)
    digest, fresh = hashlib.sha256(), {}
    for file, label in files:
        facts = file.stat()
        name, mark = file.relative_to(root).as_posix(), f"{facts.st_size} {facts.st_mtime_ns}"
        before = known.get(name)
        fresh[name] = before if before is not None and before[0] == mark else [mark, _sha256(file)]
        digest.update(f"{name}\0{label}\0{fresh[name][1]}\0".encode())
    if fresh != known:
        _remember(root, fresh)
    return digest.hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _place(root: Path) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "ssni_jax" / "hashes" / f"{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:24]}.json"


def _read_known(root: Path) -> dict[str, list[str]]:
    with suppress(OSError, ValueError):
        return json.loads(_place(root).read_text())
    return {}


def _remember(root: Path, known: dict[str, list[str]]) -> None:
    """A cache that cannot be written is no error: the files are read again next time."""
    with suppress(OSError):
        place = _place(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(known))
        os.replace(part, place)
