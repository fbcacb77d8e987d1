"""Progress of a run: how much is done, how fast, the time left, and what was found so far."""

import datetime
import math
import time
from collections.abc import Callable
from pathlib import Path

import jax
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from ssni_jax.journal.formats import number, percent, percent_interval
from ssni_jax.journal.records import merge_records
from ssni_jax.journal.rows import summarise

PAUSE = 5.0  # seconds between two lines, so that logs of long runs stay short


class Running:
    """A bar on a terminal, a line every few seconds elsewhere; process 0 only. `found` tells what is on disk so far."""

    def __init__(self, name: str, total: int, found: Callable[[], str], unit: str = "images"):
        self.name, self.total, self.found, self.unit = name, total, found, unit
        self.console, self.done, self.start = Console(), 0, time.monotonic()
        self.shown = -math.inf
        columns = (TextColumn("{task.fields[name]}"), BarColumn(), TextColumn("{task.description}"))
        self.bar = Bar(*columns, console=self.console)
        self.task: TaskID | None = None

    def __enter__(self) -> "Running":
        if jax.process_index():
            return self
        if not self.console.is_terminal:
            self.say(f"compiling, then {self.total} {self.unit}")
        else:
            self.task = self.bar.add_task("compiling", total=self.total, name=self.name)
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.task is not None:
            self.bar.stop()

    def advance(self, n: int) -> None:
        """`n` more are done, and what there is to know about them is on disk."""
        self.done += n
        now = time.monotonic()
        if jax.process_index() or (now - self.shown < PAUSE and self.done < self.total):
            return
        self.shown = now
        if self.task is None:
            self.say(self._text())
        else:
            self.bar.update(self.task, completed=self.done, description=self._text())

    def restart(self) -> None:
        """Compiling is over: speed counts from here."""
        self.start = time.monotonic()

    def say(self, text: str) -> None:
        """A line of its own; process 0 only."""
        if not jax.process_index():
            self.console.print(f"{self.name}: {text}", highlight=False, soft_wrap=True)

    def _text(self) -> str:
        speed = self.done / (time.monotonic() - self.start)
        left = datetime.timedelta(seconds=round((self.total - self.done) / speed))
        return f"{self.done}/{self.total} {self.unit}  {number(speed)} {self.unit}/s  {left} left  {self.found()}"


def accuracies(workdir: Path) -> str:
    """Clean and robust accuracy of the images evaluated so far."""
    row = summarise("", merge_records(workdir))
    return "  ".join(
        f"{name} {percent(row[name])} {percent_interval(row[f'{name}_ci'])}" for name in ("clean", "robust")
    )
