"""One pass over the files of a data set: each is read, decoded and hashed once, and the result is remembered."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import track

from ssni_jax.data.containers import Container
from ssni_jax.data.decode import decoded
from ssni_jax.files import write_bytes
from ssni_jax.lifecycle.environment import process_number

N_SHOWN = 3  # unreadable files that an error names
WORTH_A_BAR = 2000  # files, which take a few seconds


class Known(NamedTuple):
    """What is remembered of a file: a mark that changes with it, the sha256 of its bytes, the size of its picture."""

    mark: str
    sha256: str
    height: int = 0
    width: int = 0


Look = Callable[[str, str], Known]  # at the file of this name, which has this mark


def checked_files(files: Container, names: Sequence[str], channels: int) -> dict[str, Known]:
    """Hashes and sizes of image files, after decoding them all; ValueError names those that cannot be decoded.

    What was checked before is remembered by size and modification time in the user's cache; XDG_CACHE_HOME chooses
    another place. Pictures are upright, as `read_image` gives them.
    """

    def look(name: str, mark: str) -> Known:
        content = files.read(name)
        width, height = decoded(content, f"{files.path}/{name}", channels).size
        return Known(mark, hashlib.sha256(content).hexdigest(), height, width)

    return _remembering(files.path, {name: f"{files.mark(name)} {channels}" for name in names}, look)


def labelled_hash(known: Mapping[str, Known], labelled: Iterable[tuple[str, int]]) -> str:
    """The sha256 of names, labels and bytes; it knows nothing of times, and is the same on every host."""
    digest = hashlib.sha256()
    for name, label in labelled:
        digest.update(f"{name}\0{label}\0{known[name].sha256}\0".encode())
    return digest.hexdigest()


def _remembering(root: Path, marks: Mapping[str, str], look: Look) -> dict[str, Known]:
    before = _read_known(root)
    kept = {name: before[name] for name, mark in marks.items() if name in before and before[name].mark == mark}
    fresh = {name: mark for name, mark in marks.items() if name not in kept}
    seen, errors = _looked(fresh, look, root)
    both = kept | seen
    known = {name: both[name] for name in marks if name in both}
    if known != before:
        _remember(root, known)
    if errors:
        raise first_of(errors, "files")
    return known


def _looked(
    marks: Mapping[str, str], look: Look, root: Path
) -> tuple[dict[str, Known], dict[str, ValueError | OSError]]:
    """What the files hold, and the errors of those that cannot be read; several files at a time."""
    seen: dict[str, Known] = {}
    errors: dict[str, ValueError | OSError] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda item: _attempt(look, *item), marks.items())
        for name, result in zip(marks, with_bar(results, len(marks), root), strict=True):
            if isinstance(result, Known):
                seen[name] = result
            else:
                errors[name] = result
    return seen, errors


def _attempt(look: Look, name: str, mark: str) -> Known | ValueError | OSError:
    try:
        return look(name, mark)
    except (ValueError, OSError) as error:
        return error


def with_bar(results: Iterator, n: int, root: Path) -> Iterable:
    """The results, with a bar on process 0 where there are many images."""
    if n < WORTH_A_BAR or process_number(os.environ) != 0:
        return results
    return track(results, f"checking {n} images of {root}", total=n, console=Console(file=sys.stderr))


def first_of(errors: dict[str, ValueError | OSError], noun: str) -> ValueError | OSError:
    """The first error; of several, how many there are and which files or images they name."""
    first, *others = errors.values()
    if not others:
        return first
    names, noun = ", ".join(list(errors)[1 : N_SHOWN + 1]), noun if len(others) > 1 else noun.removesuffix("s")
    more = f" and {len(others) - N_SHOWN} more" if len(others) > N_SHOWN else ""
    return ValueError(f"{first} {len(others)} other {noun} cannot be read either: {names}{more}.")


def place_of(key: str) -> Path:
    """The file in the user's cache that belongs to a key; XDG_CACHE_HOME chooses another cache."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "ssni_jax" / "hashes" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"


def _read_known(root: Path) -> dict[str, Known]:
    with suppress(OSError, ValueError, TypeError, AttributeError):
        return {name: Known(*entry) for name, entry in json.loads(place_of(str(root.resolve())).read_text()).items()}
    return {}


def _remember(root: Path, known: Mapping[str, Known]) -> None:
    """A cache that cannot be written is no error: the files are read again next time."""
    with suppress(OSError):
        write_bytes(place_of(str(root.resolve())), json.dumps(known).encode())
