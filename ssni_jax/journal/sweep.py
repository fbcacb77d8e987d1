"""A sweep as it is on disk: sweep.json lists its cells, each of which is the workdir of an ordinary evaluation."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ssni_jax.experiments.sweep import CellName
from ssni_jax.files.atomic import REMEDY
from ssni_jax.files.checked import read_checked, write_sealed
from ssni_jax.files.remote import as_path
from ssni_jax.journal.evaluation import Evaluated, load_evaluated
from ssni_jax.journal.formats import invalid, percent, percent_interval
from ssni_jax.journal.rows import summarise
from ssni_jax.journal.stored import SweptFile

SWEEP = "sweep.json"
PLACE = ("defense", "attack", "norm", "eps", "group", "n_images")


@dataclasses.dataclass(frozen=True)
class SweptCell(CellName):
    """One cell and what its workdir holds of its `n_images` images; `run` is None where the cell has not begun."""

    defense: str
    attack: str
    norm: str
    eps: float | None
    group: str
    n_images: int
    path: Path | None
    run: Evaluated | None

    @property
    def missing(self) -> int:
        """Planned images without a complete record."""
        return self.n_images if self.run is None else len(self.run.missing)


class Swept(NamedTuple):
    """The cells of a sweep in the order of the config, and the command that resumes it."""

    path: Path
    name: str
    command: str
    cells: list[SweptCell]


def is_sweep(path: str | Path) -> bool:
    """Whether `path` is the workdir of an `ssni sweep`."""
    return (as_path(path) / SWEEP).exists()


def write_sweep(path: Path, name: str, command: str, ids: Sequence[int], cells: Iterable[Mapping[str, Any]]) -> None:
    """Writes sweep.json: of `ids`, the images in their order, every cell takes the first `n_images`.

    A cell has the fields of `SweptCell` up to `n_images`, and its `workdir`, None if that is not known yet. Workdirs
    are written relative to the sweep, so that all can be moved together.
    """
    listed = [{**cell, "workdir": cell["workdir"] and os.path.relpath(cell["workdir"], path)} for cell in cells]
    write_sealed(path / SWEEP, {"name": name, "command": command, "ids": list(ids), "cells": listed})


def load_sweep(path: str | Path) -> Swept:
    """The sweep of a workdir with everything its cells have recorded."""
    path = as_path(path)
    stored = read_checked(path / SWEEP, SweptFile)
    if not stored["cells"]:
        raise ValueError(f"{path / SWEEP} is damaged (it lists no cells): {REMEDY}.")
    cells = [_cell(path, cell, stored["ids"]) for cell in stored["cells"]]
    return Swept(path, stored["name"], stored["command"], cells)


def _cell(path: Path, stored: dict[str, Any], ids: Sequence[int]) -> SweptCell:
    """One cell with its own images alone: another sweep may have evaluated more of them."""
    place = {name: stored[name] for name in PLACE}
    workdir = None if stored["workdir"] is None else as_path(os.path.normpath(path / stored["workdir"]))
    if workdir is None or not (workdir / "run.json").exists():
        return SweptCell(**place, path=workdir, run=None)
    return SweptCell(**place, path=workdir, run=load_evaluated(workdir, ids[: place["n_images"]]))


def describe_sweep(sweep: Swept) -> list[str]:
    """One line per cell, with its accuracy so far, and how to resume."""
    n_complete = sum(not cell.missing for cell in sweep.cells)
    width = max(len(cell.label) for cell in sweep.cells)
    lines = [f"  {cell.label:{width}}  {_standing(cell)}" for cell in sweep.cells]
    outlook = "complete" if n_complete == len(sweep.cells) else f"resume with: {sweep.command}"
    return [f"{sweep.name}: {n_complete} of {len(sweep.cells)} cells complete", *lines, f"  {outlook}"]


def _standing(cell: SweptCell) -> str:
    if cell.run is None:
        return "not begun"
    n, row = cell.n_images - cell.missing, summarise(cell.label, cell.run.records)
    name = "clean" if row["robust"] is None else "robust"
    shown = f"{percent(row[name]):>7} {percent_interval(row[f'{name}_ci']):>13}{invalid(row, name)}"
    return f"{shown}  {n} of {cell.n_images} images"
