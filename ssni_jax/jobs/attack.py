"""Running the attack of one unit in chunks, with its curve: a stopped run loses a chunk and not an afternoon."""

import copy
import time
from collections.abc import Mapping
from functools import partial
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
from ssni_jax.evals.attacked import Chunk, Driver, make_driver
from ssni_jax.files.atomic import write_arrays
from ssni_jax.jobs.programs import CompiledPrograms
from ssni_jax.jobs.run import Pause, WorkUnit

SAVE_EVERY_S = 60.0


class AttackRun(NamedTuple):
    """The images an attack ended with, what it knew about them, its curve over the iterations, and its wall time."""

    image: Any
    known: Attacked | None
    curve: dict[str, list[float]] | None
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
        return {"attack_loss": float(self.known.loss[row]), "attack_queries": int(self.known.n_queries[row])}


class Reached(NamedTuple):
    """Where an attack is: the iterations made, the state after them, the curve, and the wall time so far."""

    i: int
    state: Tree
    curve: dict[str, list[float]]
    seconds: float


class Attacking:
    """An attack on an objective, compiled once for all units.

    With `falls_at` the attack of a unit ends as soon as more than this share of the draws is wrong in every row.
    """

    def __init__(
        self,
        mesh: Mesh,
        attack: Attack,
        objective: Objective,
        workdir: Path,
        programs: CompiledPrograms,
        falls_at: float | None = None,
    ):
        self.attack, self.objective, self.mesh, self.workdir = attack, objective, mesh, workdir
        self.programs, self.falls_at = programs, falls_at
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
        values, n_chunk = (self.attack, self.objective, keys), self.driver.n_chunk
        init = self.programs.compiled("init", self.driver.init, *values, x, y)
        state = jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=x.sharding), init.out_info)
        name = ("advance", n_chunk)
        advance = self.programs.compiled(name, self.driver.advance, *values, jnp.asarray(0), state, x, y)
        result = self.programs.compiled("result", self.driver.result, self.attack, state)
        self.driver, self.is_compiled = Driver(n_chunk, init, advance, result), True

    def run(self, unit: WorkUnit, keys: Keys, rows: Mapping[str, jax.Array], pause: Pause) -> AttackRun:
        """All iterations, from the saved state where there is one of these rows."""
        x, y, n = rows["image"], rows["label"], self.attack.n_iterations
        saved = time.monotonic()
        start = self.driver.init(self.attack, self.objective, keys, x, y)
        i, state, curve, before = self._restored(unit, start, rows)
        begun = saved - before
        while i < n:
            chunk = self.driver.advance(self.attack, self.objective, keys, jnp.asarray(i), state, x, y)
            state, i = chunk.state, i + self.driver.n_chunk
            for name, values in (("loss", chunk.loss), ("broken", chunk.broken)):
                curve[name] += _means(values, rows["mask"])
            if self._is_over(chunk, rows["mask"]):
                break
            if i < n:
                save = partial(self._save, unit, Reached(i, state, curve, time.monotonic() - begun), rows)
                pause(save)
                is_due = time.monotonic() - saved > SAVE_EVERY_S
                if agree(None, int(is_due) or None):  # all processes save the same iteration
                    save()
                    saved = time.monotonic()
        known = jax.block_until_ready(self.driver.result(self.attack, state))
        return AttackRun(known.image, known, curve, time.monotonic() - begun)

    def last_keys(self, keys: Keys) -> Keys:
        """The keys of the first draw of the attack's last iteration."""
        last = self.objective.draw_keys(keys, self.attack.n_iterations - 1)
        return fold(fold(last, 1) if self.objective.hold else last, 0)

    def forget(self, unit: WorkUnit) -> None:
        """Drops the saved state of a unit that is recorded."""
        self._path(unit).unlink(missing_ok=True)

    def _is_over(self, chunk: Chunk, mask: jax.Array) -> bool:
        """Whether every row that is an image has fallen."""
        if self.falls_at is None:
            return False
        return bool(jnp.all((chunk.broken[-1] > self.falls_at) | ~mask.astype(bool)))

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
            return Reached(0, start, {"loss": [], "broken": []}, 0.0)
        parts = global_rows(self.mesh, {str(k): stored[f"leaf{k}"] for k in range(len(leaves))})
        state = jax.tree.unflatten(structure, [parts[str(k)] for k in range(len(leaves))])
        curve = {name: stored[name].tolist() for name in ("loss", "broken")}
        return Reached(i, state, curve, float(stored["seconds"]))


def header_of(run: AttackRun | None) -> dict[str, Any]:
    """What the header of a unit keeps of its attack: the curve, and the wall time without compilation."""
    return {"curve": None if run is None else run.curve, "attack_seconds": None if run is None else run.seconds}


def _read(path: Path, like: list[np.ndarray], ids: np.ndarray) -> dict[str, np.ndarray] | None:
    """A saved state of these rows; None where there is none that fits."""
    try:
        with np.load(path) as stored:
            state = dict(stored)
    except (OSError, ValueError):
        return None
    fits = all(state.get(f"leaf{k}", np.empty(0)).shape == leaf.shape for k, leaf in enumerate(like))
    return state if fits and np.array_equal(state["ids"], ids) else None


def _means(values: Any, mask: Any) -> list[float]:
    """Mean over the rows that are images, per iteration."""
    weights = mask.astype(values.dtype)
    return np.asarray(jnp.sum(values * weights, axis=1) / jnp.sum(weights)).tolist()
