"""`ssni status` and `ssni report`, which import what reads and draws only when they run: status is asked often."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import tyro


@dataclasses.dataclass(frozen=True)
class Status:
    """How far the runs of a directory are, with the numbers so far and how to resume."""

    takes_overrides: ClassVar[bool] = False
    STORED: ClassVar = ("workdir",)
    workdir: tyro.conf.Positional[Path]
    """The --workdir of an `ssni evaluate`, `certify` or `train`, or a directory of several."""

    def run(self, overrides: Sequence[str]) -> None:
        """Prints a few lines a run."""
        from ssni_jax.journal.status import status

        print(status(self.workdir))


@dataclasses.dataclass(frozen=True)
class Report:
    """One self-contained HTML page of the evaluations, certifications and trainings of a directory."""

    takes_overrides: ClassVar[bool] = False
    STORED: ClassVar = ("workdir",)
    workdir: tyro.conf.Positional[Path]
    """The --workdir of an `ssni evaluate`, `certify` or `train`, or a directory of several to compare."""

    def run(self, overrides: Sequence[str]) -> None:
        """Writes report.html into the directory, and beside it the numbers, tables and the Pareto plot."""
        from ssni_jax.report.page import write_report

        print(f"Wrote {write_report(self.workdir)}")
