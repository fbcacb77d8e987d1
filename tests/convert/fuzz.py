"""Mutations of valid checkpoints. `python -m tests.convert.fuzz 2000` prints what became of that many of each file.

With --small the larger files of the shared folder are left out.
"""

import collections
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ssni_jax.convert.reader import read_checkpoint
from ssni_jax.convert.reading import CheckpointError
from tests.convert.files import SHARED, good, shared_folder, towers

HEADROOM = 1 << 30
TOWER = 100_000
SECONDS = 1.0


class Outcome(NamedTuple):
    """What became of one file's mutations."""

    trees: int
    errors: int
    violations: list[str]
    slowest: float


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to three small injuries."""
    for _ in range(rng.randint(1, 3)):
        data = rng.choice(INJURIES)(data, rng) or b"\x00"
    return data


def flip(data: bytes, rng: random.Random) -> bytes:
    at = position(data, rng)
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def replace(data: bytes, rng: random.Random) -> bytes:
    at = position(data, rng)
    value = rng.choice((b"\x00", b"\xff", b"\x7f", b"\x80", b"(", b".", b"R", b"\x93", bytes([rng.randrange(256)])))
    return data[:at] + value * rng.choice((1, 1, 2, 4, 8)) + data[at + 1 :]


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: position(data, rng)]


def splice(data: bytes, rng: random.Random) -> bytes:
    """A chunk of the file over another place of it."""
    source, at, n = position(data, rng), position(data, rng), rng.randint(1, 64)
    return data[:at] + data[source : source + n] + data[at + n :]


def duplicate(data: bytes, rng: random.Random) -> bytes:
    at, n = position(data, rng), rng.randint(1, 64)
    return data[: at + n] + data[at : at + n] + data[at + n :]


def delete(data: bytes, rng: random.Random) -> bytes:
    at = position(data, rng)
    return data[:at] + data[at + rng.randint(1, 16) :]


def position(data: bytes, rng: random.Random) -> int:
    """Anywhere, or near one of the ends, where formats keep their structure."""
    if rng.random() < 0.5:
        return rng.randrange(len(data))
    near = rng.randrange(min(len(data), 2000))
    return near if rng.random() < 0.5 else len(data) - 1 - near


INJURIES = (flip, flip, replace, replace, splice, duplicate, delete, truncate)


def fuzz(name: str, data: bytes, n: int, folder: Path) -> Outcome:
    """Reads `n` mutations of a file; the seed of each is its number and the file's name."""
    seeds = [f"{name} {i}" for i in range(n)]
    return judged(((seed, mutated(data, random.Random(seed))) for seed in seeds), folder)


def judged(files: Iterable[tuple[str, bytes]], folder: Path) -> Outcome:
    """Reads each of the files, with a clock running: of this process, so that busy neighbours don't count."""
    counts: collections.Counter[str] = collections.Counter()
    violations, slowest = [], 0.0
    for name, data in files:
        path = folder / "mutated"
        path.write_bytes(data)
        start = time.process_time()
        what = verdict(path)
        seconds = time.process_time() - start
        slowest = max(slowest, seconds)
        counts[what] += 1
        if what not in ("tree", "error") or seconds > SECONDS:
            violations.append(f"{name}: {what} after {seconds:.2f} s")
        path.unlink()
    return Outcome(counts["tree"], counts["error"], violations, slowest)


def verdict(path: Path) -> str:
    """ "tree", "error" for a refusal in a sentence, or what should never happen."""
    try:
        read_checkpoint(path)
        return "tree"
    except CheckpointError as error:
        return "error" if "memory than" not in str(error) else str(error)
    except Exception as error:
        return repr(error)


def inputs(small: bool) -> dict[str, bytes]:
    """The small files, and unless only they are wanted the shared ones that are here."""
    if small:
        return good()
    here = {name: shared_folder() / path for name, path in SHARED.items()}
    return good() | {name: path.read_bytes() for name, path in here.items() if path.exists()}


def main(n: int, small: bool = False) -> int:
    """Prints one line a file; 1 if anything was neither a tree nor a refusal, or slow."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + HEADROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        outcomes = {name: fuzz(name, data, n, Path(folder)) for name, data in inputs(small).items()}
        outcomes[f"{TOWER:,} deep"] = judged(towers(TOWER).items(), Path(folder))
    for name, result in outcomes.items():
        print(f"{name:13s} {result.trees:5d} trees {result.errors:5d} refused  slowest {result.slowest:.3f} s")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    violations = [line for result in outcomes.values() for line in result.violations]
    print(f"memory grew by {grown:.0f} MiB under a limit of 1024; {len(violations)} violations", *violations, sep="\n")
    return min(1, len(violations))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), "--small" in sys.argv))
