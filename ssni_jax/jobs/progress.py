"""How far a run is: a bar on a terminal, lines of text elsewhere; process 0 only."""

import datetime
import math
import time
from collections.abc import Callable

import jax
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from ssni_jax.journal.formats import number

PAUSE_S = 5.0  # between two lines, so that logs of long runs stay short


class Progress:
    """`total` pieces of work, each a `noun`: how many are done, the speed, the time left, and what `summary` says.

    Time spent compiling does not count: say so with `compiling`, and `start` the clock afterwards.
    """

    def __init__(
        self,
        name: str,
        total: int,
        noun: str,
        summary: Callable[[], str],
        console: Console | None = None,
        pause_s: float = PAUSE_S,
    ):
        self.name, self.total, self.noun, self.summary, self.pause_s = name, total, noun, summary, pause_s
        self.console, self.n_done, self.n_before = console or Console(), 0, 0
        self.begun, self.shown = time.monotonic(), -math.inf
        columns = (TextColumn("{task.fields[name]}"), BarColumn(), TextColumn("{task.description}"))
        self.bar = Bar(*columns, console=self.console)
        self.task: TaskID | None = None

    def __enter__(self) -> "Progress":
        if self.console.is_terminal and not jax.process_index():
            self.task = self.bar.add_task("", total=self.total, name=self.name)
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.task is not None:
            self.bar.stop()

    def compiling(self, what: str = "") -> None:
        """Says that programs are being compiled, and for how much work."""
        text = f"compiling, then {self.total} {self.noun}{what}"
        if self.task is None:
            self.say(text)
        else:
            self.bar.update(self.task, description=text)

    def start(self, n_done: int = 0) -> None:
        """Compiling is over: speed and time left count from here, where `n_done` were done before."""
        self.begun, self.n_before = time.monotonic(), n_done
        self.n_done = max(self.n_done, n_done)

    def expect(self, n: int) -> None:
        """`n` are left, whatever was planned before: attacks of an ensemble run on what the ones before left."""
        self.total = self.n_done + n
        if self.task is not None:
            self.bar.update(self.task, total=self.total)

    def advance(self, n: int) -> None:
        """`n` more are done, and on disk."""
        self.n_done += n
        now = time.monotonic()
        if jax.process_index() or (now - self.shown < self.pause_s and self.n_done < self.total):
            return
        self.shown = now
        if self.task is None:
            self.say(self._text())
        else:
            self.bar.update(self.task, completed=self.n_done, description=self._text())

    def say(self, text: str) -> None:
        """A line of its own; process 0 only."""
        if not jax.process_index():
            self.console.print(f"{self.name}: {text}", highlight=False, soft_wrap=True)

    @property
    def speed(self) -> float:
        """Pieces of work per second since the clock started."""
        return (self.n_done - self.n_before) / max(time.monotonic() - self.begun, 1e-9)

    def _text(self) -> str:
        left = (self.total - self.n_done) / self.speed if self.speed else math.nan
        shown = "unknown time" if math.isnan(left) else str(datetime.timedelta(seconds=round(left)))
        share = f"{self.n_done}/{self.total} {self.noun}"
        return f"{share}  {number(self.speed)} {self.noun}/s  {shown} left  {self.summary()}"
