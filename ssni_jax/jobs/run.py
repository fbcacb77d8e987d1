"""The one runner of units: plan what the journal lacks, work, write; errors and stops end every process together."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import numpy as np
from jax.experimental import multihost_utils

from ssni_jax.dist import agree, same_everywhere, wait_for_all
from ssni_jax.jobs.progress import Progress
from ssni_jax.jobs.sharing import ALL, Share
from ssni_jax.jobs.work_unit import WorkUnit
from ssni_jax.journal.identity import digest_of
from ssni_jax.lifecycle import Stopper

T = TypeVar("T")
WAIT_S = 2.0  # before units that another job works on are looked at again
LEASES = "leases"
AHEAD_BYTES = 2**30  # of a unit that is read ahead, such as 1,700 images of 224 x 224


@runtime_checkable
class Job(Protocol):
    """What the runner needs of an evaluation, a certification or a calibration.

    `plan` is a pure function of the experiment and of what the journal holds; every process computes it. `load` reads
    this process's part of a unit on the host and may fail on one process alone, as may `write`. `prepare` compiles.
    `work` may call `pause` where it can be interrupted.
    """

    name: str
    noun: str

    def plan(self) -> list[WorkUnit]: ...

    def load(self, unit: WorkUnit) -> Any: ...

    def prepare(self, unit: WorkUnit, loaded: Any) -> None: ...

    def work(self, unit: WorkUnit, loaded: Any, pause: "Pause") -> Any: ...

    def write(self, unit: WorkUnit, outcome: Any) -> None: ...

    def forecast(self, units: Sequence[WorkUnit]) -> str | None: ...

    def summary(self) -> str: ...


Pause = Callable[[Callable[[], None]], None]


def run(job: Job, workdir: Path, stopper: Stopper, share: Share = ALL) -> None:
    """Works until every planned unit is in the journal, whichever job wrote it, and waits for those of other jobs.

    A share that is leasing waits for others only where further units follow. A signal ends all processes after the
    unit in progress or drops it; an error on one process ends all of them. Both lose at most the unit in progress.
    """
    units = planned(job)
    if not units:
        return
    with Progress(job.name, sum(len(unit.ids) for unit in units), job.noun, job.summary) as progress:
        state = _Running(job, workdir, stopper, progress, share)
        while units:
            if not state.work_on(units):
                if share.is_leasing and not any(unit.is_followed for unit in units):
                    progress.say(f"ends without {state.held_by_others(units)}")
                    return
                state.wait(units)
            units = planned(job)
            progress.expect(sum(len(unit.ids) for unit in units))


def planned(job: Job) -> list[WorkUnit]:
    """The units that the journal lacks, the same on every process."""
    wait_for_all("planned")  # a process that wrote before another had read would leave them with different plans
    units, error = attempt(job.plan)
    agree(error)
    assert units is not None
    same_everywhere("the plan of the run", digest_of([[unit.stage, list(unit.ids)] for unit in units]))
    return units


class _Running:
    """One pass after the other over the units that are left."""

    def __init__(self, job: Job, workdir: Path, stopper: Stopper, progress: Progress, share: Share):
        self.job, self.workdir, self.stopper, self.progress, self.share = job, workdir, stopper, progress, share
        self.compiled: set[str] = set()  # stages whose programs are there
        self.said = ""

    def work_on(self, units: Sequence[WorkUnit]) -> int:
        """Works on the units that no other job holds; returns how many there were."""
        n_done = 0
        with ReadAhead(self.job.load, units) as read:
            for unit in units:
                self.check()
                with self.leased(unit) as is_ours:
                    if is_ours:
                        self.one(unit, read(unit))
                        n_done += 1
        return n_done

    def wait(self, units: Sequence[WorkUnit]) -> None:
        """Says once for whom, and looks for signals and failures afterwards."""
        said = f"waiting for {self.held_by_others(units)}"
        if said != self.said:
            self.progress.say(said)
            self.said = said
        time.sleep(WAIT_S)
        self.check()

    def held_by_others(self, units: Sequence[WorkUnit]) -> str:
        """How many units others work on, and who on the first."""
        return f"{len(units)} units that others work on, {self.lease(units[0]).holder()} on the first"

    def one(self, unit: WorkUnit, reading: "Future[Any]") -> None:
        """Reads, computes and writes one unit; every process leaves if one of them fails."""
        loaded, error = attempt(reading.result)
        self.check(error)
        if unit.stage not in self.compiled:
            self.compile(unit, loaded)
        outcome, error = attempt(lambda: self.job.work(unit, loaded, self.pause))
        self.check(error)
        _, error = attempt(lambda: self.job.write(unit, outcome))
        agree(error)
        self.progress.advance(len(unit.ids))

    def compile(self, unit: WorkUnit, loaded: Any) -> None:
        """Compiles before the clock starts; nothing is lost if a signal comes meanwhile."""
        self.progress.compiling()
        with self.stopper.nothing_to_lose():
            start = time.monotonic()
            _, error = attempt(lambda: self.job.prepare(unit, loaded))
        self.check(error)
        self.compiled.add(unit.stage)
        forecast = self.job.forecast(self.job.plan())
        self.progress.say(f"compiled in {time.monotonic() - start:.0f} s" + (f"; {forecast}" if forecast else ""))
        self.progress.start()

    def check(self, error: Exception | None = None) -> None:
        """Leaves if any process failed or was asked to stop."""
        asked = agree(error, self.stopper.asked)
        if asked is not None:
            self.stopper.leave(asked)

    def pause(self, save: Callable[[], None]) -> None:
        """Between two parts of a unit: if a stop was asked for, saves its state and leaves."""
        asked = agree(None, self.stopper.asked)
        if asked is not None:
            _, error = attempt(save)
            agree(error)
            self.stopper.leave(asked)

    def lease(self, unit: WorkUnit) -> Any:
        return self.share.lease(self.workdir / LEASES / f"{unit.name}.json")

    def leased(self, unit: WorkUnit) -> "_Leased":
        return _Leased(self.lease(unit), lambda: unit in self.job.plan())


class _Leased:
    """The lease of one unit, taken by process 0 for all; entering says whether the unit is theirs to do."""

    def __init__(self, lease: Any, is_missing: Callable[[], bool]):
        self.lease, self.is_missing = lease, is_missing

    def __enter__(self) -> bool:
        is_ours, error = attempt(self._acquire) if jax.process_index() == 0 else (False, None)
        agree(error)
        return bool(from_first(is_ours))

    def __exit__(self, *_: object) -> None:
        self.lease.release()

    def _acquire(self) -> bool:
        """A unit that another job finished between our plan and our lease is left alone."""
        if not self.lease.acquire():
            return False
        if self.is_missing():
            return True
        self.lease.release()
        return False


class ReadAhead:
    """Reads units in a thread, one ahead of the device where such a unit has at most `AHEAD_BYTES`: two in memory.

    What a unit takes is known from the one before it: all have the same shapes.
    """

    def __init__(self, load: Callable[[WorkUnit], Any], units: Sequence[WorkUnit]):
        self.load, self.units, self.unit_bytes = load, list(units), 0
        self.readings: dict[WorkUnit, Future[Any]] = {}

    def __enter__(self) -> "ReadAhead":
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="reading")
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)

    def __call__(self, unit: WorkUnit) -> "Future[Any]":
        """The reading of a unit, under way since the unit before it was asked for."""
        at = self.units.index(unit)
        reading = self.pool.submit(self._read, unit, self.readings.get(unit))
        self.readings = {near: self.pool.submit(self._read_ahead, near) for near in self.units[at + 1 : at + 2]}
        return reading

    def _read(self, unit: WorkUnit, ahead: "Future[Any] | None") -> Any:
        """What was read ahead, which has ended because the thread does one thing after the other, or a new reading."""
        loaded = None if ahead is None else ahead.result()
        loaded = self.load(unit) if loaded is None else loaded
        self.unit_bytes = sum(getattr(leaf, "nbytes", 0) for leaf in jax.tree.leaves(loaded))
        return loaded

    def _read_ahead(self, unit: WorkUnit) -> Any:
        """The unit, or None where it is too large to lie beside the one that is worked on."""
        return self.load(unit) if self.unit_bytes <= AHEAD_BYTES else None


def attempt(function: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """The result of a function, or the error that all processes are to be told of."""
    try:
        return function(), None
    except (ValueError, OSError, KeyError, TypeError) as error:
        return None, error


def from_first(value: Any) -> np.ndarray:
    """The value that process 0 has, on every process."""
    if jax.process_count() == 1:
        return np.asarray(value)
    return np.asarray(multihost_utils.broadcast_one_to_all(np.asarray(value)))
