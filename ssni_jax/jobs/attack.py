"""Running the attack of one unit in chunks, with its curve: a stopped run loses a chunk and not an afternoon."""

import copy
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from ssni_jax.attacks import Attack, Attacked, Objective
from ssni_jax.core.rng import fold
from ssni_jax.core.types import Keys, Tree
from ssni_jax.dist import agree, global_rows, local_rows
from ssni_jax.evals.attacked import Chunk, ChunkSummary, Driver, make_driver
from ssni_jax.files.atomic import read_arrays, write_arrays
from ssni_jax.jobs.programs import ProgramSource
from ssni_jax.jobs.run import Pause, WorkUnit

SAVE_EVERY_S = 60.0
CURVES = ("loss", "broken", "judged", "labels")

Answer = Callable[[int, Any], np.ndarray]
"""The predictor's answer on the image after iteration i, per row of this process, under a key of that iteration."""


class AttackRun(NamedTuple):
    """The images an attack ended with, what it knew about them, its curve over the iterations, and its wall time.

    `curve["judged"]` are the iterations whose image was judged, and `iterates` the answers there, [B, n], of this
    process's rows.
    """

    image: Any
    known: Attacked | None
    curve: dict[str, list[Any]] | None
    iterates: np.ndarray | None = None
    seconds: float | None = None

    @classmethod
    def given(cls, image: Any) -> "AttackRun":
        """Images that were attacked elsewhere."""
        return cls(image, None, None)

    def on_host(self) -> "AttackRun":
        """This process's rows."""
        known = None if self.known is None else jax.tree.map(local_rows, self.known)
        return self._replace(image=local_rows(self.image), known=known)

    def fields(self, row: int) -> dict[str, Any]:
        """What a record keeps of one row."""
        if self.known is None:
            return {}
        known = {"attack_loss": float(self.known.loss[row]), "attack_queries": int(self.known.n_queries[row])}
        return known | self.iterates_of(row)

    def iterates_of(self, row: int) -> dict[str, list[int]]:
        """The answer on each judged iterate of one row; empty where none was judged."""
        return {} if self.iterates is None else {"iterates": self.iterates[row].tolist()}


class Reached(NamedTuple):
    """Where an attack is: the iterations made, the state after them, the curve, and the wall time so far."""

    i: int
    state: Tree
    curve: dict[str, list[float]]
    seconds: float


class Attacking:
    """An attack on an objective, compiled once for all units.

    With `falls_at` the attack of a unit ends as soon as more than this share of the draws is wrong in every row.
    `judge_every` says after how many iterations `run` asks for an answer on the image reached. With `finish` the images
    that are judged are `finish(images, clean images)`.
    """

    def __init__(
        self, mesh: Mesh, attack: Attack, objective: Objective, workdir: Path, programs: ProgramSource, *,
        falls_at: float | None = None, judge_every: int | None = None, finish: Callable[[Any, Any], Any] | None = None,
    ):  # fmt: skip
        self.attack, self.objective, self.mesh, self.workdir = attack, objective, mesh, workdir
        self.programs, self.falls_at, self.judge_every, self.finish = programs, falls_at, judge_every, finish
        self.driver, self.is_compiled = make_driver(mesh, attack, None, judge_every), False

    def like(self, attack: Attack) -> "Attacking":
        """The same compiled programs for an attack that differs in its numbers alone."""
        other = copy.copy(self)
        other.attack = attack
        return other

    def compile(self, keys: Any, x: Any, y: Any) -> None:
        """Compiles all that `run` calls, once, for rows like these, which may be shapes."""
        if self.is_compiled:
            return
        values, n_chunk = (self.attack, self.objective, keys), self.driver.n_chunk
        init = self.programs.compiled("init", self.driver.init, *values, x, y)
        state = jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=x.sharding), init.out_info)
        name = ("advance", n_chunk)
        advance = self.programs.compiled(name, self.driver.advance, *values, np.int32(0), state, x, y)
        result = self.programs.compiled("result", self.driver.result, self.attack, state)
        chunk, mask = advance.out_info, jax.ShapeDtypeStruct(y.shape, bool, sharding=y.sharding)
        shown = chunk.loss, chunk.broken, 0, mask, 0.0
        summary = self.programs.compiled("summary", self.driver.summary, *shown)
        self.driver, self.is_compiled = Driver(n_chunk, init, advance, result, summary), True

    def run(
        self, unit: WorkUnit, keys: Keys, rows: Mapping[str, jax.Array], pause: Pause, answer: Answer | None = None
    ) -> AttackRun:
        """All iterations, from the saved state where there is one of these rows."""
        x, y, n = rows["image"], rows["label"], self.attack.n_iterations
        saved = time.monotonic()
        start = self.driver.init(self.attack, self.objective, keys, x, y)
        i, state, curve, before = self._restored(unit, start, rows)
        begun = saved - before
        while i < n:
            n_made = min(self.driver.n_chunk, n - i)
            chunk = self.driver.advance(self.attack, self.objective, keys, np.int32(i), state, x, y)
            summary = self._summary(chunk, n_made, rows["mask"])
            state, i = chunk.state, i + n_made
            curve["loss"] += summary.loss[:n_made].tolist()
            curve["broken"] += summary.broken[:n_made].tolist()
            if summary.is_over:
                break
            if i < n:
                self._judge(i, state, curve, x, answer)
                save = partial(self._save, unit, Reached(i, state, curve, time.monotonic() - begun), rows)
                pause(save)
                is_due = time.monotonic() - saved > SAVE_EVERY_S
                if agree(None, int(is_due) or None):  # all processes save the same iteration
                    save()
                    saved = time.monotonic()
        self._judge(i, state, curve, x, answer, is_last=True)
        known, labels = jax.block_until_ready(self.driver.result(self.attack, state)), curve.pop("labels")
        iterates = np.transpose(labels) if labels else None
        return AttackRun(self._finished(known.image, x), known, curve, iterates, time.monotonic() - begun)

    def last_keys(self, keys: Keys) -> Keys:
        """The keys of the first draw of the attack's last iteration."""
        last = self.objective.draw_keys(keys, self.attack.n_iterations - 1)
        return fold(fold(last, 1) if self.objective.hold else last, 0)

    def forget(self, unit: WorkUnit) -> None:
        """Drops the saved state of a unit that is recorded."""
        self._path(unit).unlink(missing_ok=True)

    def _summary(self, chunk: Chunk, n_made: int, mask: jax.Array) -> ChunkSummary:
        """What a chunk showed, on the host: the only transfer that an attack waits for."""
        falls_at = np.inf if self.falls_at is None else self.falls_at
        return jax.device_get(self.driver.summary(chunk.loss, chunk.broken, n_made - 1, mask, falls_at))

    def _finished(self, image: Any, x: Any) -> Any:
        """The image as it is judged and kept."""
        return image if self.finish is None else self.finish(image, x)

    def _judge(
        self, i: int, state: Tree, curve: dict[str, list[Any]], x: Any, answer: Answer | None, is_last: bool = False
    ) -> None:
        """Adds the answer on the image after iteration i to the curve, where one is asked for."""
        if answer is not None and self.judge_every is not None and (is_last or i % self.judge_every == 0):
            curve["judged"].append(i)
            curve["labels"].append(answer(i, self._finished(self.driver.result(self.attack, state).image, x)))

    def _path(self, unit: WorkUnit) -> Path:
        place = f"{jax.process_index()}of{jax.process_count()}"
        return self.workdir / "states" / f"{unit.name}-{place}.npz"

    def _save(self, unit: WorkUnit, reached: Reached, rows: Mapping[str, Any]) -> None:
        leaves = {f"leaf{k}": local_rows(leaf) for k, leaf in enumerate(jax.tree.leaves(reached.state))}
        about = {"i": np.asarray(reached.i), "seconds": np.asarray(reached.seconds), "ids": local_rows(rows["id"])}
        curve = {name: np.asarray(values) for name, values in reached.curve.items()}
        write_arrays(self._path(unit), {**leaves, **about, **curve})

    def _restored(self, unit: WorkUnit, start: Tree, rows: Mapping[str, Any]) -> Reached:
        """Where the attack was when it was stopped, if every process has the state of the same iteration and rows."""
        leaves, structure = jax.tree.flatten(start)
        stored = _read(self._path(unit), [local_rows(leaf) for leaf in leaves], local_rows(rows["id"]))
        i = -1 if stored is None else int(stored["i"])
        if np.unique(multihost_utils.process_allgather(np.asarray(i))).tolist() != [i] or stored is None:
            return Reached(0, start, {name: [] for name in CURVES}, 0.0)
        parts = global_rows(self.mesh, {str(k): stored[f"leaf{k}"] for k in range(len(leaves))})
        state = jax.tree.unflatten(structure, [parts[str(k)] for k in range(len(leaves))])
        return Reached(i, state, {name: stored[name].tolist() for name in CURVES}, float(stored["seconds"]))


def header_of(run: AttackRun | None) -> dict[str, Any]:
    """What the header of a unit keeps of its attack: the curve, and the wall time without compilation."""
    return {"curve": None if run is None else run.curve, "attack_seconds": None if run is None else run.seconds}


def _read(path: Path, like: list[np.ndarray], ids: np.ndarray) -> dict[str, np.ndarray] | None:
    """A saved state of these rows; None where there is none that fits."""
    try:
        state = read_arrays(path)
    except (OSError, ValueError):
        return None
    is_whole = {"ids", "i", "seconds", *CURVES} <= state.keys()
    fits = is_whole and all(state.get(f"leaf{k}", np.empty(0)).shape == leaf.shape for k, leaf in enumerate(like))
    return state if fits and np.array_equal(state["ids"], ids) else None
