"""`ssni sweep`."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import jax
import tyro

from ssni_jax.commands.config import read_experiment
from ssni_jax.commands.sharing import Sharing
from ssni_jax.experiments import Cell, Sweep
from ssni_jax.experiments.selection import check_positive
from ssni_jax.jobs.sweep import PlacedCell, place_cells, run_cells
from ssni_jax.journal.status import status
from ssni_jax.journal.sweep import write_sweep
from ssni_jax.lifecycle import Stopper


@dataclasses.dataclass(frozen=True)
class SweepCells(Sharing):
    """Evaluate defences under attacks at several budgets, from one config file; `ssni report` makes one page of them.

    A cell is one defence under one attack at one budget: an ordinary evaluation in a directory of its own. The name of
    that ends in the hash of what decides its records, so that a cell that has changed begins anew, and sweeps with the
    same --runs share the cells they have in common. The same command resumes after a stop. configs/sweep_digits.py is
    an example, and docs/sweep.md explains it.
    """

    takes_overrides: ClassVar[bool] = False
    STORED: ClassVar = ("workdir", "runs")
    config: tyro.conf.Positional[Path]
    """A .py file that builds `experiment`, a Sweep."""
    workdir: Path
    """Directory of sweep.json, of the report and, without --runs, of the cells."""
    runs: Path | None = None
    """Directory of the cells, which several sweeps may share; --workdir by default."""
    only: str | None = None
    """Run only cells whose name contains this text, such as "SSNI-N, apgd-ce"; --list shows the names."""
    n_images: int | None = None
    """Evaluate at most this many images in each cell, for a trial; the command without it continues with the rest."""
    list: bool = False
    """Print the names of the cells, with their numbers of images, and run nothing."""

    def run(self, overrides: Sequence[str]) -> None:
        """Evaluates what has no record yet, then prints where every cell stands."""
        sweep = read_experiment(self.config, Sweep)
        if self.n_images is not None:
            check_positive(self, "n_images")
            sweep = dataclasses.replace(sweep, cells=tuple(at_most(cell, self.n_images) for cell in sweep.cells))
        if self.list:
            print("\n".join(f"{cell.label}: {cell.n_images} images" for cell in sweep.cells))
            return
        wanted = [cell.label for cell in (sweep.cells if self.only is None else sweep.only(self.only))]
        runs = self.runs or self.workdir
        with Stopper(self.command(self.only)) as stopper:
            with stopper.nothing_to_lose():
                placed = place_cells(sweep.cells, runs)
            run_cells(placed, wanted, runs, stopper, partial(self.write, sweep), share=self.share)
        if jax.process_index() == 0:
            print(f"{status(self.workdir)}\nNext: ssni report {self.workdir}")

    def command(self, only: str | None = None) -> str:
        """The command line that resumes, all cells or some."""
        options = {"--runs": self.runs, "--only": only, "--n-images": self.n_images}
        given = [part for name, value in options.items() if value is not None for part in (name, str(value))]
        return self.with_flags(["ssni", "sweep", str(self.config), "--workdir", str(self.workdir), *given])

    def write(self, sweep: Sweep, cells: Sequence[PlacedCell]) -> None:
        """sweep.json, on process 0."""
        if jax.process_index() == 0:
            ids = max((cell.evaluation.ids for cell in sweep.cells), key=len)
            write_sweep(
                self.workdir, sweep.name, self.share.plain(self.command()), ids, [cell.facts() for cell in cells]
            )


def at_most(cell: Cell, n_images: int) -> Cell:
    """The cell with no more images than that."""
    if cell.n_images <= n_images:
        return cell
    return dataclasses.replace(cell, evaluation=dataclasses.replace(cell.evaluation, n_images=n_images))
