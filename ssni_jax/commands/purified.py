"""What `ssni purify` reads and writes: its images, the names of the results, and the list of those that are done."""

import collections
import functools
import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from ssni_jax.data import ImageFolder
from ssni_jax.data.containers import Container, Directory, container, look_again
from ssni_jax.data.decode import decoded
from ssni_jax.data.hashing import Known
from ssni_jax.data.images import read_file
from ssni_jax.files.atomic import disk_error

LEDGER = "purified.jsonl"
Size = tuple[int, int]


class Result(NamedTuple):
    """One purified image in [0, 1], its noise level per round, score norm, network calls and class."""

    name: str
    image: np.ndarray
    t: list[float]
    norm: float
    calls: float
    label: int


class Input(NamedTuple):
    """Image files that were all checked, in the order of their names."""

    container: Container
    known: Mapping[str, Known]

    @property
    def names(self) -> tuple[str, ...]:
        """The names, relative to the folder."""
        return tuple(self.known)

    def shown(self, name: str) -> str:
        """How errors call an image."""
        return f"{self.container.path}/{name}"

    @property
    def files(self) -> list[Path]:
        """The image files, or the archive that holds them."""
        root = self.container.path
        return [root / name for name in self.names] if root.is_dir() else [root]


def opened_input(path: Path, channels: int, size: Size | None) -> Input:
    """One image, or all of a folder or zip archive; ValueError names what cannot be read or has another size."""
    look_again()
    images = _all_of(path, channels) if set_of(path) else _one(path, channels)
    for name, facts in images.known.items():
        check_size(images.shown(name), (facts.height, facts.width), size)
    return images


def set_of(path: Path) -> bool:
    """Whether a path stands for many images."""
    return path.is_dir() or (path.is_file() and zipfile.is_zipfile(path))


def _all_of(path: Path, channels: int) -> Input:
    folder = ImageFolder(str(path), size=1, channels=channels)  # with a size, images of several sizes are no error yet
    return Input(container(str(path)), folder.checked())


def _one(path: Path, channels: int) -> Input:
    if not path.exists():
        raise FileNotFoundError(f"There is no image {path}: give an image file, or a folder of them.")
    content = read_file(path)
    width, height = decoded(content, str(path), channels).size
    known = Known("", hashlib.sha256(content).hexdigest(), height, width)
    return Input(Directory(path.parent), {path.name: known})


def noise_id(name: str) -> int:
    """A number from the name alone: the noise of an image does not depend on which others are there."""
    return zlib.crc32(name.encode()) & 0x7FFFFFFF


def check_size(name: str, size: Size, wanted: Size | None) -> None:
    """Refuses an image of another size than the network's."""
    if wanted is not None and size != wanted:
        raise ValueError(
            f"{name} is {size[0]} x {size[1]}, and the network purifies {wanted[0]} x {wanted[1]}: pass --resize to "
            "resize and crop images to the network's size."
        )


def targets(names: Sequence[str]) -> dict[str, str]:
    """The PNG file for each image: its own name with the ending .png, or after it where two images would share one."""
    plain = {name: str(PurePosixPath(name).with_suffix(".png")) for name in names}
    shared = collections.Counter(target.casefold() for target in plain.values())
    is_free = {name: shared[target.casefold()] == 1 or name == target for name, target in plain.items()}
    chosen = {name: target if is_free[name] else f"{name}.png" for name, target in plain.items()}
    owners: dict[str, str] = {}
    for name, target in chosen.items():
        other = owners.setdefault(target.casefold(), name)
        if other != name:
            raise ValueError(f"{other} and {name} would both be written to {target}: rename one of them.")
    return chosen


def without_overwriting(images: Input, places: Iterable[Path]) -> None:
    """Refuses a place for a result at which an input lies, under whatever name."""
    inputs = {_inode(file) for file in images.files}
    for place in places:
        if place.exists() and _inode(place) in inputs:
            raise ValueError(f"writing {place} would overwrite an input image: give another output.")


def _inode(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_dev, facts.st_ino


class Ledger:
    """purified.jsonl of an output folder: one line per result, with the hash of its input and of what made it."""

    def __init__(self, output: Path, made_by: str):
        self.output, self.made_by, self.file = output, made_by, output / LEDGER

    def missing(self, images: Input, places: Mapping[str, Path]) -> list[str]:
        """The images without a result of this very image under the same settings."""
        return [name for name in images.names if not self._has(name, images.known[name].sha256, places[name])]

    def _has(self, name: str, sha256: str, place: Path) -> bool:
        entry = self._entries.get(name)
        if entry is None or (entry["sha256"], entry["made_by"]) != (sha256, self.made_by):
            return False
        is_there = self.output / entry["output"] == place and place.is_file()
        return is_there and self._last_writer.get(entry["output"]) == name

    def add(self, results: Sequence[Result], images: Input, places: Mapping[str, Path]) -> None:
        """Notes results that are written."""
        lines = [
            json.dumps(
                {
                    **{"image": result.name, "output": str(places[result.name].relative_to(self.output))},
                    **{"t": result.t, "score_norm": result.norm, "calls": result.calls, "class": result.label},
                    **{"sha256": images.known[result.name].sha256, "made_by": self.made_by},
                }
            )
            for result in results
        ]
        try:
            with self.file.open("a") as file:
                file.write("".join(f"\n{text}" for text in lines))  # a line that was cut off stays alone
        except OSError as error:
            raise disk_error(self.file, error) from error

    @functools.cached_property
    def _entries(self) -> dict[str, dict]:
        """The newest entry of each image; a line that was cut off counts as none."""
        return {entry["image"]: entry for entry in self._lines}

    @functools.cached_property
    def _last_writer(self) -> dict[str, str]:
        """Which image each file was last written for."""
        return {entry["output"]: entry["image"] for entry in self._lines}

    @functools.cached_property
    def _lines(self) -> list[dict]:
        text = self.file.read_text(errors="replace") if self.file.is_file() else ""
        return [entry for line in text.splitlines() if (entry := _entry(line)) is not None]


def _entry(line: str) -> dict | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    wanted = ("image", "output", "sha256", "made_by")
    return entry if isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in wanted) else None
