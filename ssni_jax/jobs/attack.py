"""Running the attack of one unit in chunks, with its curve: a stopped run loses a chunk and not an afternoon."""

import copy
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from ssni_jax.attacks import Attack, Attacked, Objective
from ssni_jax.core.rng import fold
from ssni_jax.core.types import Keys, Tree
from ssni_jax.dist import agree, global_rows, local_rows
from ssni_jax.evals.attacked import Chunk, ChunkSummary, Driver, make_driver
from ssni_jax.files.atomic import write_arrays
from ssni_jax.jobs.run import Pause, WorkUnit

SAVE_EVERY_S = 60.0


class AttackRun(NamedTuple):
    """The images an attack ended with, what it knew about them, and its curve over the iterations."""

    image: Any
    known: Attacked | None
    curve: dict[str, list[float]] | None

    @classmethod
    def given(cls, image: Any) -> "AttackRun":
        """Images that were attacked elsewhere."""
        return cls(image, None, None)

    def on_host(self) -> "AttackRun":
        """This process's rows."""
        known = None if self.known is None else jax.tree.map(local_rows, self.known)
        return AttackRun(local_rows(self.image), known, self.curve)

    def fields(self, row: int) -> dict[str, Any]:
        """What a record keeps of one row."""
        if self.known is None:
            return {}
        return {"attack_loss": float(self.known.loss[row]), "attack_queries": int(self.known.n_queries[row])}


class Attacking:
    """An attack on an objective, compiled once for all units.

    With `falls_at` the attack of a unit ends as soon as more than this share of the draws is wrong in every row. With
    `finish` the images are `finish(images, clean images)` in the end.
    """

    def __init__(
        self,
        mesh: Mesh,
        attack: Attack,
        objective: Objective,
        workdir: Path,
        falls_at: float | None = None,
        finish: Callable[[Any, Any], Any] | None = None,
    ):
        self.attack, self.objective, self.mesh, self.workdir = attack, objective, mesh, workdir
        self.falls_at, self.finish = falls_at, finish
        self.driver, self.is_compiled = make_driver(mesh, attack), False

    def like(self, attack: Attack) -> "Attacking":
        """The same compiled programs for an attack that differs in its numbers alone."""
        other = copy.copy(self)
        other.attack = attack
        return other

    def compile(self, keys: Keys, x: Any, y: Any) -> None:
        """Compiles all that `run` calls, once."""
        if self.is_compiled:
            return
        values = self.attack, self.objective, keys
        init = self.driver.init.lower(*values, x, y).compile()
        shapes = jax.eval_shape(self.driver.init, *values, x, y)
        state = jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=x.sharding), shapes)
        advance = self.driver.advance.lower(*values, jnp.asarray(0), state, x, y).compile()
        result = self.driver.result.lower(self.attack, state).compile()
        chunk, mask = advance.out_info, jax.ShapeDtypeStruct(y.shape, bool, sharding=y.sharding)
        summary = self.driver.summary.lower(chunk.loss, chunk.broken, 0, mask, 0.0).compile()
        self.driver, self.is_compiled = Driver(self.driver.n_chunk, init, advance, result, summary), True

    def run(self, unit: WorkUnit, keys: Keys, rows: Mapping[str, jax.Array], pause: Pause) -> AttackRun:
        """All iterations, from the saved state where there is one of these rows."""
        x, y, n = rows["image"], rows["label"], self.attack.n_iterations
        i, state, curve = self._restored(unit, self.driver.init(self.attack, self.objective, keys, x, y), rows)
        saved = time.monotonic()
        while i < n:
            n_made = min(self.driver.n_chunk, n - i)
            chunk = self.driver.advance(self.attack, self.objective, keys, jnp.asarray(i), state, x, y)
            summary = self._summary(chunk, n_made, rows["mask"])
            state, i = chunk.state, i + n_made
            curve["loss"] += summary.loss[:n_made].tolist()
            curve["broken"] += summary.broken[:n_made].tolist()
            if summary.is_over:
                break
            if i < n:
                pause(lambda i=i, state=state: self._save(unit, i, state, curve, rows))
                is_due = time.monotonic() - saved > SAVE_EVERY_S
                if agree(None, int(is_due) or None):  # all processes save the same iteration
                    self._save(unit, i, state, curve, rows)
                    saved = time.monotonic()
        known = self.driver.result(self.attack, state)
        return AttackRun(known.image if self.finish is None else self.finish(known.image, x), known, curve)

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

    def _path(self, unit: WorkUnit) -> Path:
        place = f"{jax.process_index()}of{jax.process_count()}"
        return self.workdir / "states" / f"{unit.name}-{place}.npz"

    def _save(
        self, unit: WorkUnit, i: int, state: Tree, curve: dict[str, list[float]], rows: Mapping[str, Any]
    ) -> None:
        leaves = {f"leaf{k}": local_rows(leaf) for k, leaf in enumerate(jax.tree.leaves(state))}
        about = {"i": np.asarray(i), "ids": local_rows(rows["id"]), **{k: np.asarray(v) for k, v in curve.items()}}
        write_arrays(self._path(unit), {**leaves, **about})

    def _restored(
        self, unit: WorkUnit, start: Tree, rows: Mapping[str, Any]
    ) -> tuple[int, Tree, dict[str, list[float]]]:
        """Where the attack was when it was stopped, if every process has the state of the same iteration and rows."""
        leaves, structure = jax.tree.flatten(start)
        stored = _read(self._path(unit), [local_rows(leaf) for leaf in leaves], local_rows(rows["id"]))
        i = -1 if stored is None else int(stored["i"])
        if np.unique(multihost_utils.process_allgather(np.asarray(i))).tolist() != [i] or stored is None:
            return 0, start, {"loss": [], "broken": []}
        parts = global_rows(self.mesh, {str(k): stored[f"leaf{k}"] for k in range(len(leaves))})
        state = jax.tree.unflatten(structure, [parts[str(k)] for k in range(len(leaves))])
        return i, state, {name: stored[name].tolist() for name in ("loss", "broken")}


def _read(path: Path, like: list[np.ndarray], ids: np.ndarray) -> dict[str, np.ndarray] | None:
    """A saved state of these rows; None where there is none that fits."""
    try:
        with np.load(path) as stored:
            state = dict(stored)
    except (OSError, ValueError):
        return None
    fits = all(state.get(f"leaf{k}", np.empty(0)).shape == leaf.shape for k, leaf in enumerate(like))
    return state if fits and np.array_equal(state["ids"], ids) else None
