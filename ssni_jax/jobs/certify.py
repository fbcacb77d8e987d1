"""One certification run in one directory: group by group of images, each group on disk before the next begins."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from ssni_jax.core.describe import describe
from ssni_jax.core.fingerprint import fingerprint
from ssni_jax.core.protocols import Distance, Predict
from ssni_jax.data.loader import padded
from ssni_jax.data.source import take
from ssni_jax.dist import make_mesh, wait_for_all
from ssni_jax.evals.smoothing import Programs, Quality, make_programs
from ssni_jax.evals.votes import Group, Plan, collect, warm_up
from ssni_jax.experiments.certification import Certification
from ssni_jax.jobs.progress import Running
from ssni_jax.journal.certification import UNIT, CertifiedRecord, load_certified
from ssni_jax.journal.certified_sink import as_record
from ssni_jax.journal.facts import run_facts
from ssni_jax.journal.formats import number
from ssni_jax.journal.records import RecordWriter, merge_records
from ssni_jax.journal.status import so_far
from ssni_jax.journal.workdir import open_workdir, write_run

T = TypeVar("T")


class Ready(NamedTuple):
    """The method as it takes noised images of each sigma, and the experiment's distance, both with their networks."""

    predicts: Mapping[float, Predict]
    distance: Distance | None = None


class Task(NamedTuple):
    """Images that are drawn together, at one sigma."""

    ids: list[int]
    sigma: float


def run_certification(experiment: Certification, ready: Ready, workdir: Path, command: str) -> None:
    """Certifies every image at every sigma that has no record yet; process 0 writes."""
    networks = {f"sigma {sigma:g}": fingerprint(predict) for sigma, predict in ready.predicts.items()}
    open_workdir(workdir, {**describe(experiment), "networks": networks})
    done = {(record["id"], record["sigma"]) for record in merge_records(workdir, UNIT)}
    wait_for_all("planned")  # a process that wrote before another had read would leave them with different plans
    todo = pending(experiment, done)
    if not todo:
        return
    is_first = jax.process_index() == 0
    if is_first:
        write_run(workdir, experiment.ids, command, **facts(experiment))
    with RecordWriter(workdir) if is_first else nullcontext() as writer:
        for records in certified_tasks(experiment, ready, todo, workdir):
            if writer is not None:
                writer.append([each for each in records if (each["id"], each["sigma"]) not in done])
    wait_for_all("certified")


def pending(experiment: Certification, done: set[tuple[int, float]]) -> list[Task]:
    """Groups with an unfinished image, whole: a resumed group has the shapes and the rows of an uninterrupted run."""
    tasks = [Task(ids, sigma) for ids in experiment.groups for sigma in experiment.sigmas]
    return [task for task in tasks if not done.issuperset((id, task.sigma) for id in task.ids)]


def facts(experiment: Certification) -> dict[str, Any]:
    """What status and report need to know of the run."""
    named = {name: getattr(experiment, name) for name in ("alpha", "n_selection", "n_estimation", "every", "sigmas")}
    named |= {"kind": "certification", "defense": experiment.name, "stopping": describe(experiment.stopping)}
    return named | run_facts(experiment.images, experiment.seed)


def certified_tasks(
    experiment: Certification, ready: Ready, todo: Sequence[Task], workdir: Path
) -> Iterator[list[CertifiedRecord]]:
    """The records of each task; what was given out before counts as on disk when the next is asked for."""
    programs = make_programs(make_mesh(), experiment.batch_size)
    total = sum(len(task.ids) for task in todo)
    speed = 0.0

    def found() -> str:
        return f"{number(speed)} draws/s  {so_far(load_certified(workdir))}"

    with Running(experiment.name, total, found, "certificates") as running:
        running.say(forecast(programs, experiment, ready, todo))
        running.restart()
        for task in todo:
            records = certified(programs, experiment, ready, task)
            yield records
            speed = 1 / records[0]["seconds"]
            running.advance(len(task.ids))


def forecast(programs: Programs, experiment: Certification, ready: Ready, todo: Sequence[Task]) -> str:
    """Compiles everything, times one batch of draws at each sigma, and says what is to come."""
    start, seconds = time.perf_counter(), {}
    for sigma in {task.sigma for task in todo}:
        group = make_group(programs, experiment, Task(experiment.groups[0], sigma))
        seconds[sigma] = warm_up(programs, ready.predicts[sigma], group)
        quality(programs, ready, group, 1)
    n_draws = experiment.n_selection + experiment.n_estimation
    left = sum(len(task.ids) * n_draws * seconds[task.sigma] for task in todo)
    each = number(1000 * left / n_draws / sum(len(task.ids) for task in todo))
    return (
        f"compiled in {time.perf_counter() - start:.0f} s; at most {n_draws} draws a certificate at about {each} ms a "
        f"draw: {left / 60:.1f} min"
    )


def certified(programs: Programs, experiment: Certification, ready: Ready, task: Task) -> list[CertifiedRecord]:
    """Draws, counts and measures the images of one task."""
    group = make_group(programs, experiment, task)
    plan = Plan(experiment.n_selection, experiment.n_estimation, experiment.alpha, experiment.stopping)
    start = time.perf_counter()
    votes = collect(programs, ready.predicts[task.sigma], group, plan)
    n_draws = len(task.ids) * experiment.n_selection + int(votes.looks.max(axis=1).sum())
    seconds = (time.perf_counter() - start) / n_draws
    measured = quality(programs, ready, group, experiment.n_quality)
    return [
        as_record(
            experiment, (id, experiment.images[id]["label"], task.sigma), row_of(votes, i), row_of(measured, i), seconds
        )
        for i, id in enumerate(task.ids)
    ]


def row_of(values: T, row: int) -> T:
    """One image's row of every field."""
    return jax.tree.map(lambda value: value[row], values)


def make_group(programs: Programs, experiment: Certification, task: Task) -> Group:
    """The images of a task, filled up to one shape for all tasks, a multiple of the devices."""
    n_devices = programs.mesh.shape["data"]
    size = -(-min(experiment.n_together, len(experiment.ids)) // n_devices) * n_devices
    batch = padded(take(experiment.images, task.ids), size)
    return Group(jax.random.key(experiment.seed), batch["id"], batch["image"], batch["mask"], task.sigma)


def quality(programs: Programs, ready: Ready, group: Group, n_draws: int) -> Quality:
    """The measures of purified images, averaged over the first draws of each."""
    none = np.zeros((2, len(group.ids)), np.int32)
    measure = partial(programs.measure, ready.predicts[group.sigma], ready.distance, group.draws(none, none))
    draws = [jax.tree.map(np.asarray, measure(number)) for number in range(n_draws)]
    return jax.tree.map(lambda *values: np.mean(values, axis=0), *draws)
