"""What happens beside training: each hook is called after every step and reads the device only when it is due."""

import json
import math
import os
import time
from contextlib import ExitStack
from pathlib import Path

import jax

from ssni_jax.dist import agree, wait_for_all
from ssni_jax.files.metrics import read_metrics
from ssni_jax.lifecycle import Stopper
from ssni_jax.training.checkpoint import Checkpoints, Resumable
from ssni_jax.training.loop import Hook
from ssni_jax.training.state import TrainState
from ssni_jax.training.step import Metrics

SAME = "the same command"


def usual_hooks(
    checkpoints: Checkpoints,
    batches: Resumable,
    *,
    n_steps: int,
    every: int = 100,
    save_every: int = 1000,
    command: str = SAME,
) -> tuple[Hook, ...]:
    """Stop on NaN, save, leave on a signal, and write metrics.jsonl beside the checkpoints.

    In this order a file never holds what a check would have refused.
    """
    save = Save(checkpoints, batches, save_every, n_steps, command)
    metrics = MetricsFile(checkpoints.directory / "metrics.jsonl", every)
    return StopOnNan(every, command), save, LeaveOnSignal(save), metrics


class StopOnNan:
    """Ends the run in one sentence when the loss or the gradient is no longer finite."""

    def __init__(self, every: int = 100, command: str = SAME):
        self.every, self.command = every, command

    def __call__(self, n: int, state: TrainState, metrics: Metrics) -> None:
        if n % self.every == 0:
            check_finite(n, metrics, self.command)


class Save:
    """Saves every `every` steps and after the last one, never a state whose loss or gradient is not finite.

    `command` is what resumes the run.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        batches: Resumable | None = None,
        every: int = 1000,
        last: int = 0,
        command: str = SAME,
    ):
        self.checkpoints, self.batches, self.every, self.last = checkpoints, batches, every, last
        self.command = command

    def __enter__(self) -> "Save":
        return self

    def __exit__(self, *_: object) -> None:
        self.checkpoints.wait()

    def __call__(self, n: int, state: TrainState, metrics: Metrics) -> None:
        if n % self.every == 0 or n == self.last:
            self.now(n, state, metrics)

    def now(self, n: int, state: TrainState, metrics: Metrics) -> None:
        """Begins a save."""
        check_finite(n, metrics, self.command)
        self.checkpoints.save(n, state, self.batches)


class LeaveOnSignal:
    """On SIGTERM or SIGINT saves at the end of the step and exits with code 75 or 130; a second signal ends at once.

    Until the first step is compiled there is nothing to save, and the first signal ends the process at once. Several
    processes agree every `every` steps, so that all save the same step.
    """

    def __init__(self, save: Save, every: int = 10):
        self.save, self.every = save, every
        self.stopper = Stopper(save.command, grace_s=None)
        self._entered, self._compiling = ExitStack(), ExitStack()

    def __enter__(self) -> "LeaveOnSignal":
        self._entered.enter_context(self.stopper)
        self._compiling.enter_context(self.stopper.nothing_to_lose())
        return self

    def __exit__(self, *_: object) -> None:
        self._compiling.close()
        self._entered.close()

    def __call__(self, n: int, state: TrainState, metrics: Metrics) -> None:
        self._compiling.close()
        is_due = jax.process_count() == 1 or n % self.every == 0
        asked = agree(None, self.stopper.asked) if is_due else None
        if asked is not None:
            self.save.now(n, state, metrics)
            self.save.checkpoints.wait()
            wait_for_all("saved")  # a launcher may end the others as soon as one leaves
            if jax.process_index() == 0:
                print(f"Saved after step {n}.", flush=True)
            self.stopper.leave(asked)


class MetricsFile:
    """Appends one JSON line every `every` steps, on process 0; a resumed run replaces the lines it repeats."""

    def __init__(self, path: str | Path, every: int = 100):
        self.path, self.every, self._started = Path(path), every, None

    def __call__(self, n: int, state: TrainState, metrics: Metrics) -> None:
        if jax.process_index():
            return
        if self._started is None:
            self._started = time.monotonic()
            keep_lines_before(self.path, n)
        if n % self.every == 0:
            seconds = round(time.monotonic() - self._started, 3)
            line = {"step": n, "seconds": seconds, **{name: float(value) for name, value in metrics.items()}}
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")


def keep_lines_before(path: Path, step: int) -> None:
    """Drops the lines of a metrics file from `step` on, and a line that a kill cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [json.dumps(metrics) + "\n" for metrics in read_metrics(path) if metrics["step"] < step]
    beside = path.with_suffix(".tmp")
    beside.write_text("".join(kept))
    os.replace(beside, path)


def check_finite(n: int, metrics: Metrics, command: str = SAME) -> None:
    """A ValueError when a metric of step n is NaN or infinite; waits for the device."""
    for name, value in metrics.items():
        if not math.isfinite(float(value)):
            raise ValueError(
                f"{name} is {float(value)} at step {n}: training has diverged; the last checkpoint before it is kept."
                " Begin again in a fresh --workdir with a lower learning rate or a smaller clip, or, if the cause lay"
                f" outside of the run, resume with: {command}"
            )
