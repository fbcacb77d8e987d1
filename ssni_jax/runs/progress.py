"""Progress of an evaluation: images done, images a second, time left, and the accuracies so far."""

import datetime
import time
from pathlib import Path

import jax
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from ssni_jax.runs.experiment import Evaluation
from ssni_jax.runs.formats import percent, percent_interval
from ssni_jax.runs.records import merge_records
from ssni_jax.runs.summary import summarise


class Running:
    """A bar on a terminal, a line a batch elsewhere; process 0 only."""

    def __init__(self, workdir: Path, experiment: Evaluation, total: int):
        self.workdir, self.name, self.total = workdir, experiment.name, total
        self.console, self.done, self.start = Console(), 0, time.monotonic()
        columns = (TextColumn("{task.fields[name]}"), BarColumn(), TextColumn("{task.description}"))
        self.bar = Bar(*columns, console=self.console)
        self.task: TaskID | None = None

    def __enter__(self) -> "Running":
        if jax.process_index():
            return self
        if not self.console.is_terminal:
            self._print(f"compiling, then {self.total} images")
        else:
            self.task = self.bar.add_task("compiling", total=self.total, name=self.name)
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.task is not None:
            self.bar.stop()

    def advance(self, n: int) -> None:
        """`n` more images are on disk."""
        self.done += n
        if jax.process_index():
            return
        text = self._text()
        if self.task is None:
            self._print(text)
        else:
            self.bar.update(self.task, completed=self.done, description=text)

    def _print(self, text: str) -> None:
        self.console.print(f"{self.name}: {text}", highlight=False, soft_wrap=True)

    def _text(self) -> str:
        speed = self.done / (time.monotonic() - self.start)
        left = datetime.timedelta(seconds=round((self.total - self.done) / speed))
        row = summarise(self.name, merge_records(self.workdir))
        shares = [f"{name} {percent(row[name])} {percent_interval(row[f'{name}_ci'])}" for name in ("clean", "robust")]
        return f"{self.done}/{self.total} images  {speed:.2f} images/s  {left} left  {'  '.join(shares)}"
