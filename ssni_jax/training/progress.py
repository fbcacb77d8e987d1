"""How far a run is, on the terminal or in plain lines."""

import datetime
import time

import jax
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from ssni_jax.training.state import TrainState
from ssni_jax.training.step import Metrics


class Progress:
    """Loss, images/s and time left, every `every` steps and after the last, on process 0.

    A bar on a terminal, a line of text elsewhere. Reading the loss waits for the device, so the speed is the real one.
    """

    def __init__(self, n_steps: int, batch_size: int, every: int = 100, console: Console | None = None):
        self.n_steps, self.batch_size, self.every = n_steps, batch_size, every
        self.console = console or Console()
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._since: tuple[int, float] | None = None

    def __enter__(self) -> "Progress":
        if self.console.is_terminal and jax.process_index() == 0:
            columns = (BarColumn(), TextColumn("{task.completed}/{task.total} {task.description}"))
            self._bar = Bar(*columns, console=self.console)
            self._task = self._bar.add_task("", total=self.n_steps)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, n: int, state: TrainState, metrics: Metrics) -> None:
        if jax.process_index():
            return
        if self._since is None:
            float(metrics["loss"])  # the first step compiles: the clock starts after it
            self._since = n, time.monotonic()
        elif n % self.every == 0 or n == self.n_steps:
            self._report(n, float(metrics["loss"]))

    def _report(self, n: int, loss: float) -> None:
        assert self._since is not None
        (before, then), now = self._since, time.monotonic()
        seconds = max(now - then, 1e-9) / (n - before)
        left = datetime.timedelta(seconds=round(seconds * (self.n_steps - n)))
        text = f"loss {loss:.4g}  {self.batch_size / seconds:.0f} images/s  {left} left"
        if self._bar is None:
            self.console.print(f"step {n}/{self.n_steps}  {text}", highlight=False, soft_wrap=True)
        else:
            self._bar.update(self._task, completed=n, description=text)
        self._since = n, now
