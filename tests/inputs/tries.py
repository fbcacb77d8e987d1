"""One try of each kind: an input, a mutation of it, and what became of the command that read it."""

import contextlib
import io
import random
import shlex
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssni_jax.cli import main
from ssni_jax.commands import purify
from ssni_jax.commands.purify import PurifyImages
from ssni_jax.data import Npz, TfdsDirectory
from ssni_jax.data.labels import check_labels
from tests.inputs import arrays, configs, lines, pictures, records, shards

Outcome = tuple[str, str]


def one(kind: str, seed: int) -> Outcome:
    """The outcome of try number `seed` of a kind, and what was mutated and said."""
    rng = random.Random(f"{kind} {seed}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            return TRIES[kind](rng, Path(folder))
        except Exception:
            return "traceback", traceback.format_exc()[-600:]


def picture(rng: random.Random, folder: Path) -> Outcome:
    """A folder with one mutated picture among good ones is purified; the purifier halves every pixel."""
    source, out = folder / "in", folder / "out"
    name, expected, what = pictures.planted(rng, source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(purify, "purify_with", pictures.halved)
        patch.setattr(purify, "shape_of", lambda _: pictures.SHAPE)
        ended, said = called(lambda: PurifyImages(source, out, resize=False).run([]))
    if ended == "refused":
        return ("partial" if out.exists() else ended), f"{what}: {said}"
    if ended != "right":
        return ended, f"{what}: {said}"
    results = [path for path in out.glob("*.png") if path.stem.startswith(Path(name).stem)]
    is_right = expected is not None and len(results) == 1 and np.array_equal(pictures.read(results[0]), expected)
    return ("right" if is_right else "wrong"), what


def array_file(rng: random.Random, folder: Path) -> Outcome:
    """A mutated .npz file as a source, and its labels against ten classes."""
    path, what = arrays.planted(rng, folder)
    images, labels = arrays.IMAGES, arrays.LABELS

    def read() -> bool:
        source = Npz(str(path))
        check_labels(source, range(len(source)), 10)
        same = np.shape(source.images) == images.shape and np.allclose(as_pixels(source.images), images, atol=0.51)
        return same and np.array_equal(source.labels, labels)

    return judged(read, what)


def shard(rng: random.Random, folder: Path) -> Outcome:
    """A prepared data set with one mutated file, checked and read; what it was before survives, or is refused."""
    path, what = shards.planted(rng, folder)

    def read() -> bool:
        source = TfdsDirectory(path, size=8)
        return source.fingerprint == shards.fingerprint() and source.known_labels().tolist() == shards.LABELS

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        return judged(read, what)


def record(rng: random.Random, folder: Path) -> Outcome:
    """`ssni status` of a workdir in which one file was changed by hand, and sometimes `ssni report`."""
    path, expected, what = records.planted(rng, folder)
    command = ["report", str(path)] if rng.random() < 0.15 else ["status", str(path)]
    ended, said = run_command(command)
    if ended == "right" and command[0] == "status" and expected and said.strip() != expected.strip():
        return "wrong", f"{what}: {said}"
    return ended, f"{what}: {said}"


def config(rng: random.Random, folder: Path) -> Outcome:
    """A config with one value that is wrong, built and compared with its images and networks."""
    path, what = configs.planted(rng, folder)
    ended, said = run_command(["evaluate", str(path), "--workdir", str(folder / "run")], configs.stopping)
    if ended == "refused" and (folder / "run").exists():
        return "partial", what
    return ("wrong" if ended == "right" else ended), f"{what}: {said}"


def command_line(rng: random.Random, folder: Path) -> Outcome:
    """A valid command line with one word changed."""
    words, may_run = lines.planted(rng, folder)
    ended, said = run_command(words, configs.stopping)
    return ("wrong" if ended == "right" and not may_run else ended), f"{shlex.join(words)}: {said}"


TRIES: dict[str, Callable[[random.Random, Path], Outcome]] = {
    "pictures": picture,
    "arrays": array_file,
    "shards": shard,
    "records": record,
    "configs": config,
    "command lines": command_line,
}


def judged(read: Callable[[], bool], what: str) -> Outcome:
    """The outcome of reading something, which says whether it is what was written."""
    answers: list[bool] = []
    ended, said = called(lambda: answers.append(read()))
    return ("wrong" if ended == "right" and not answers[0] else ended), f"{what}: {said}"


def called(function: Callable[[], Any]) -> Outcome:
    """How a call ends: a refusal is a ValueError or OSError of one line."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            function()
    except (ValueError, OSError) as error:
        text = str(error)
        return ("refused" if text.strip() and "\n" not in text else "traceback"), text
    return "right", said.getvalue()


def run_command(words: list[str], patched: Callable[[], Any] = contextlib.nullcontext) -> Outcome:
    """How a command ends: a refusal has exit code 2, and no traceback."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), patched():
            main(words)
    except SystemExit as stop:
        code = 0 if stop.code is None else stop.code
        if "Traceback" in err.getvalue() or code not in (0, 2):
            return "traceback", f"exit code {code}: {err.getvalue()[-500:]}"
        return ("right" if code == 0 else "refused"), (out.getvalue() if code == 0 else err.getvalue()[-300:])
    return "right", out.getvalue()


def as_pixels(images: Any) -> np.ndarray:
    """Pixels from 0 to 255 of either type of image."""
    images = np.asarray(images)
    return images.astype(np.float64) * (1 if images.dtype == np.uint8 else 255)
