"""Running the cells of a sweep one after the other, each as `ssni evaluate` would run it."""

import dataclasses
import datetime
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import jax

from ssni_jax.core.protocols import Predict
from ssni_jax.data import AdversarialImages
from ssni_jax.dist import make_mesh, whole
from ssni_jax.experiments import Cell
from ssni_jax.experiments.fit import fitted
from ssni_jax.jobs.ahead import compiling_ahead
from ssni_jax.jobs.evaluate import evaluate, networks_of, sources_of
from ssni_jax.jobs.programs import CompiledPrograms
from ssni_jax.jobs.sharing import ALL, Share
from ssni_jax.journal.evaluation import load_evaluated
from ssni_jax.journal.formats import accuracies
from ssni_jax.journal.identity import identity_of
from ssni_jax.journal.rows import summarise
from ssni_jax.journal.sweep import PLACE
from ssni_jax.lifecycle import Stopper
from ssni_jax.zoo import resolve

AT_ONCE_S = 2.0  # a cell that took less had nothing to compute


class PlacedCell(NamedTuple):
    """A cell whose evaluation is ready to run, its predictor with networks in place, and its workdir.

    The workdir of a transfer attack is None until the images it judges exist.
    """

    cell: Cell
    predict: Predict
    workdir: Path | None

    def facts(self) -> dict[str, Any]:
        """What sweep.json holds of it."""
        return {name: getattr(self.cell, name) for name in PLACE} | {"workdir": self.workdir}


def place_cells(cells: Sequence[Cell], runs: Path) -> list[PlacedCell]:
    """Every cell with its networks and its workdir in `runs`; all are refused before the first begins."""
    placed = []
    for cell in (dataclasses.replace(cell, evaluation=fitted(cell.evaluation)) for cell in cells):
        predict = resolve(cell.evaluation.defense, whole(make_mesh()))
        placed.append(PlacedCell(cell, predict, None if cell.images_of else workdir_of(cell, predict, runs)))
    labels: dict[str, str] = {}
    for cell, _, workdir in placed:
        digest = cell.label if workdir is None else workdir.name.rsplit("-", 1)[-1]
        if digest in labels:
            raise ValueError(f"{cell.label} and {labels[digest]} are the same evaluation: leave one of them out.")
        labels[digest] = cell.label
    return placed


def run_cells(
    placed: list[PlacedCell],
    wanted: Sequence[str],
    runs: Path,
    stopper: Stopper,
    changed: Callable[[Sequence[PlacedCell]], None],
    *,
    share: Share = ALL,
) -> None:
    """Evaluates the cells with these labels, one after the other, or a share of each.

    `changed` is told of all cells at the start, and again when the workdir of another one is known. A cell that judges
    the images of one that other processes still work on is left out.
    """
    changed(placed)
    pace, programs, chosen = (
        _Pace(len(wanted)),
        CompiledPrograms(),
        [i for i, cell in enumerate(placed) if cell.cell.label in wanted],
    )
    for number, i in enumerate(chosen, start=1):
        place = f"cell {number} of {len(chosen)}"
        _say(f"{place}: {placed[i].cell.label}{pace.left(number - 1)}")
        try:
            if placed[i].workdir is None and not is_attacked(placed[i], placed):
                _say("  left out: the images that it judges are not complete; the command continues with it later.")
                continue
            if placed[i].workdir is None:
                placed[i] = transferred(placed[i], placed, runs)
                changed(placed)
            with pace, _ahead([placed[later] for later in chosen[number : number + 1]], programs):
                _run(placed[i], stopper, programs, share)
        except Exception:
            message = f"ssni: {place} failed, {placed[i].cell.label}; what is finished stays, and the command resumes."
            print(message, file=sys.stderr, flush=True)
            raise


def _ahead(following: Sequence[PlacedCell], programs: CompiledPrograms) -> AbstractContextManager[None]:
    """Compiles for the next cell, if there is one and it can be known."""
    if not following or following[0].workdir is None:
        return nullcontext()
    evaluation = following[0].cell.evaluation
    attack = resolve(evaluation.attack, whole(make_mesh()))
    return compiling_ahead(evaluation, following[0].predict, attack, following[0].workdir, programs)


def _run(placed: PlacedCell, stopper: Stopper, programs: CompiledPrograms, share: Share) -> None:
    """Evaluates one cell and shows its accuracy."""
    assert placed.workdir is not None
    evaluate(placed.cell.evaluation, placed.predict, placed.workdir, stopper, programs, share=share)
    _say(f"  {accuracies(summarise('', load_evaluated(placed.workdir).records))}")


def is_attacked(placed: PlacedCell, others: Sequence[PlacedCell]) -> bool:
    """Whether the cell whose images this one judges is complete."""
    source = next(other.workdir for other in others if other.cell.label == placed.cell.images_of)
    return source is not None and not load_evaluated(source).missing


def transferred(placed: PlacedCell, others: Sequence[PlacedCell], runs: Path) -> PlacedCell:
    """A transfer attack with the adversarial images of the cell that it names."""
    source = next(other.workdir for other in others if other.cell.label == placed.cell.images_of)
    images = AdversarialImages(str(source))
    cell = dataclasses.replace(
        placed.cell, evaluation=dataclasses.replace(placed.cell.evaluation, adversarial=images), images_of=""
    )
    return PlacedCell(cell, placed.predict, workdir_of(cell, placed.predict, runs))


def workdir_of(cell: Cell, predict: Predict, runs: Path) -> Path:
    """The directory of a cell, named by its label and the hash of what decides its records.

    One that another sweep made under another name is used as it is.
    """
    evaluation = cell.evaluation
    attack = resolve(evaluation.attack, whole(make_mesh()))
    digest = identity_of(evaluation, networks_of(predict, attack), sources_of(evaluation))["hash"]
    slug = re.sub(r"[^a-z0-9.]+", "-", cell.label.lower()).strip("-.")
    return next(iter(sorted(runs.glob(f"*-{digest}"))), runs / f"{slug}-{digest}")


class _Pace:
    """Guesses the time left from the cells that this command has run; those that were complete say nothing."""

    def __init__(self, n_cells: int):
        self.n_cells, self.n_run, self.seconds, self.begun = n_cells, 0, 0.0, 0.0

    def __enter__(self) -> None:
        self.begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        seconds = time.monotonic() - self.begun
        if seconds > AT_ONCE_S:
            self.n_run, self.seconds = self.n_run + 1, self.seconds + seconds

    def left(self, n_before: int) -> str:
        """The time left before cell number `n_before`, as the end of a line."""
        if not self.n_run:
            return ""
        seconds = round(self.seconds / self.n_run * (self.n_cells - n_before))
        return f" - about {datetime.timedelta(seconds=seconds)} left"


def _say(text: str) -> None:
    if not jax.process_index():
        print(text, flush=True)
