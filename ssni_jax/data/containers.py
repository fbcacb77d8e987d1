"""Where image files lie: a directory or a zip archive, as names and the bytes under them."""

import functools
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from ssni_jax.data.decode import SUFFIXES
from ssni_jax.data.images import read_file

IGNORED = frozenset(("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"))  # what systems put beside a user's files
MOST_BYTES = 1 << 30  # of one unpacked file of an archive


@runtime_checkable
class Container(Protocol):
    """Files by name, relative and with slashes, sorted; `mark` changes when the content of a file may have changed."""

    path: Path

    def names(self) -> tuple[str, ...]: ...

    def read(self, name: str) -> bytes: ...

    def mark(self, name: str) -> str: ...


class Listing(NamedTuple):
    """The image files of a container, and visible files that are none."""

    images: tuple[str, ...]
    skipped: tuple[str, ...]


class Directory:
    """The files below a directory; symbolic links are followed, each directory once."""

    def __init__(self, path: Path):
        self.path = path

    def names(self) -> tuple[str, ...]:
        """All files."""
        return tuple(sorted(_walked(self.path)))

    def read(self, name: str) -> bytes:
        """The bytes of one file."""
        return read_file(self.path / name)

    def mark(self, name: str) -> str:
        """Size and modification time."""
        facts = (self.path / name).stat()
        return f"{facts.st_size} {facts.st_mtime_ns}"


class ZipArchive:
    """The files of a zip archive, each read when it is asked for; its checksum is compared then."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path} is not a whole zip archive ({error}): pack or copy it again.") from None
        entries = [entry for entry in self.archive.infolist() if not entry.is_dir()]
        self.entries = {entry.filename.replace("\\", "/"): entry for entry in entries}
        if len(self.entries) < len(entries):
            raise ValueError(f"{path} holds two files of one name: unpack it, and give the folder.")
        if any(entry.flag_bits & 1 for entry in self.entries.values()):
            raise ValueError(f"{path} is encrypted: unpack it, and give the folder.")

    def names(self) -> tuple[str, ...]:
        """All files."""
        return tuple(sorted(self.entries))

    def read(self, name: str) -> bytes:
        """The bytes of one file."""
        if self.entries[name].file_size > MOST_BYTES:
            raise ValueError(f"{self.path}: {name} unpacks to more than {MOST_BYTES:,} bytes: remove it.")
        try:
            return self.archive.read(self.entries[name])
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
            raise ValueError(f"{self.path}: {name} cannot be unpacked ({error}): pack or copy it again.") from None

    def mark(self, name: str) -> str:
        """Size and checksum, which the archive lists."""
        return f"{self.entries[name].file_size} {self.entries[name].CRC:08x}"


@functools.cache
def container(path: str) -> Container:
    """The directory or the zip archive at `path`, opened once in a process."""
    if Path(path).is_dir():
        return Directory(Path(path))
    if Path(path).is_file() and zipfile.is_zipfile(path):
        return ZipArchive(Path(path))
    if Path(path).is_file() and tarfile.is_tarfile(path):
        raise ValueError(f"{path} is a tar archive, which is read from one end: unpack it, and give the folder.")
    if Path(path).is_file():
        raise ValueError(f"{path} is neither a folder nor a zip archive: give the folder that the images are in.")
    raise FileNotFoundError(f"There is no folder or zip archive {path}: give one of images or of class subfolders.")


@functools.cache
def listed(path: str) -> Listing:
    """The images at `path`; hidden files and what systems put beside them are neither images nor skipped."""
    visible = [name for name in container(path).names() if not is_hidden(name)]
    images = tuple(name for name in visible if Path(name).suffix.lower() in SUFFIXES)
    if not images:
        raise FileNotFoundError(f"{path} holds no image file: give a folder of PNG, JPEG, WebP, BMP or TIFF files.")
    return Listing(images, tuple(sorted(set(visible) - set(images))))


def look_again() -> None:
    """Forgets which files were there: a process lists each folder once."""
    container.cache_clear()
    listed.cache_clear()


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder that it is in, is one that users do not see as theirs."""
    return any(part.startswith(".") or part in IGNORED for part in name.split("/"))


def _walked(root: Path) -> Iterator[str]:
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_raise):
        facts = os.stat(folder)
        if (facts.st_dev, facts.st_ino) in seen:  # a link to a directory that was walked before
            folders.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        yield from (Path(folder, name).relative_to(root).as_posix() for name in names)


def _raise(error: OSError) -> None:
    raise error  # os.walk would leave out a directory that it may not read
