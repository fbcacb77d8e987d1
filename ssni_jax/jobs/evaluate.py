"""One evaluation run in one directory: batch by batch, each finished batch on disk before the next begins."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ssni_jax.core.describe import describe
from ssni_jax.core.fingerprint import fingerprint
from ssni_jax.core.rng import fold, sample_keys
from ssni_jax.data import evaluation_batches
from ssni_jax.dist import by_rows, global_rows, make_mesh, wait_for_all
from ssni_jax.evals.prediction import make_predict
from ssni_jax.evals.robust import ATTACK, CLEAN, Outcome, judge, make_attack
from ssni_jax.experiments.experiment import Evaluation
from ssni_jax.files.atomic import read_json
from ssni_jax.jobs.progress import Running, accuracies
from ssni_jax.jobs.sink import Sink, save
from ssni_jax.journal.facts import run_facts
from ssni_jax.journal.records import RecordWriter, completed_ids
from ssni_jax.journal.workdir import load_results, open_workdir, write_run
from ssni_jax.purify import Defense
from ssni_jax.purify.surrogate import surrogate

CURVE_POINTS = 200


class Programs(NamedTuple):
    """The compiled functions of a run, and how long compiling took."""

    predict: Callable[..., Any]
    attack: Callable[..., Any]
    classify: Callable[..., Any]
    compile_seconds: float


def run_evaluation(experiment: Evaluation, defense: Defense, workdir: Path, command: str) -> None:
    """Evaluates every image that has no record yet; `defense` is the experiment's with its networks in place."""
    networks = {"denoise": fingerprint(defense.purify.denoise), "classify": fingerprint(defense.classify)}
    open_workdir(workdir, {**describe(experiment), "networks": networks})
    ids = list(range(len(experiment.images) if experiment.n_images is None else experiment.n_images))
    done = completed_ids(workdir)
    wait_for_all("planned")  # a process that appended before another had read would leave them with different plans
    todo = pending(ids, experiment.batch_size, done)
    if not todo and finished(workdir):
        return
    facts = {"kind": "evaluation", "defense": experiment.name, **run_facts(experiment.images, experiment.seed)}
    facts |= {"gradient": gradient_name(experiment), "attack": describe(experiment.attack)}
    if jax.process_index() == 0:
        write_run(workdir, ids, command, **facts)
    with RecordWriter(workdir, jax.process_index()) as writer:
        facts |= evaluate_batches(make_mesh(), experiment, defense, Sink(workdir, writer, todo, done))
    wait_for_all("evaluated")
    if jax.process_index() == 0:
        write_run(workdir, ids, command, **facts, level_curve=level_curve(defense, workdir))


def finished(workdir: Path) -> bool:
    """Whether a run came to its end, after its last record: a kill in between leaves only the curve to be written."""
    return (workdir / "run.json").exists() and "level_curve" in read_json(workdir / "run.json")


def evaluate_batches(mesh: Mesh, experiment: Evaluation, defense: Defense, sink: Sink) -> dict[str, Any]:
    """Attacks and judges the wanted batches; returns what is worth knowing about the run."""
    attacked = differentiated(experiment, defense)
    programs = None
    total, found = sum(map(len, sink.todo.values())), partial(accuracies, sink.workdir)
    with Running(experiment.name, total, found) as running:
        for number, batch in chosen_batches(experiment, sink.todo):
            rows = global_rows(mesh, batch)
            keys = sample_keys(jax.random.key(experiment.seed), rows["id"])
            programs = programs or compiled(mesh, experiment, defense, attacked, keys, rows)
            outcome, seconds = evaluate(programs, experiment, defense, attacked, keys, rows)
            save(experiment, sink, number, batch, outcome, seconds)
            running.advance(len(sink.todo[number]))
    return {"compile_seconds": round(programs.compile_seconds, 2) if programs else 0.0}


def pending(ids: list[int], batch_size: int, done: set[int]) -> dict[int, list[int]]:
    """Batches with an unfinished image, whole: a resumed batch has the shape and the rows of an uninterrupted run."""
    batches = {k: ids[start : start + batch_size] for k, start in enumerate(range(0, len(ids), batch_size))}
    return {k: batch for k, batch in batches.items() if not done.issuperset(batch)}


def chosen_batches(
    experiment: Evaluation, todo: Mapping[int, list[int]]
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """This process's rows of each wanted batch."""
    for number, ids in todo.items():
        mine = (jax.process_index(), jax.process_count())
        yield number, next(evaluation_batches(experiment.images, experiment.batch_size, ids, *mine))


def compiled(mesh: Mesh, experiment: Evaluation, defense: Defense, attacked: Defense, keys: Any, rows: Any) -> Programs:
    """All programs of a run, compiled before the clock of any batch starts."""
    start = time.perf_counter()
    x, y = rows["image"], rows["label"]
    predict = make_predict(mesh, experiment.n_slots).lower(defense, keys, x).compile()
    attack = make_attack(mesh).lower(experiment.attack, attacked, keys, x, y).compile()
    classify = jax.jit(by_rows(mesh, lambda classify, x: classify(x))).lower(defense.classify, x).compile()
    return Programs(predict, attack, classify, time.perf_counter() - start)


def evaluate(
    programs: Programs, experiment: Evaluation, defense: Defense, attacked: Defense, keys: Any, rows: Any
) -> tuple[Outcome, float]:
    """One batch, and the seconds of its clean defended prediction."""
    start = time.perf_counter()
    clean = jax.block_until_ready(programs.predict(defense, fold(keys, CLEAN), rows["image"]))
    seconds = time.perf_counter() - start
    adversarial = programs.attack(experiment.attack, attacked, fold(keys, ATTACK), rows["image"], rows["label"])
    judged = judge(programs.predict, defense, keys, adversarial, experiment.n_draws)
    return Outcome(clean, adversarial, judged, programs.classify(defense.classify, adversarial)), seconds


def differentiated(experiment: Evaluation, defense: Defense) -> Defense:
    """The defence whose gradient the attack takes."""
    steps = experiment.surrogate_steps
    return experiment.gradient(defense if steps is None else surrogate(defense, steps))


def gradient_name(experiment: Evaluation) -> str:
    """What `differentiated` does, in words."""
    name, steps = experiment.gradient.name, experiment.surrogate_steps
    if steps is None:
        return name
    return f"surrogate of {steps} steps a round" + ("" if name == "exact" else f", {name}")


def level_curve(defense: Defense, workdir: Path) -> dict[str, list[float]] | None:
    """t averaged over rounds, for the norms that occurred; the report draws it."""
    records = load_results(workdir).records
    norms = [norm for each in records for norm in (each["clean_norm"], each["adversarial_norm"]) if norm is not None]
    if not norms or not defense.purify.rounds:
        return None
    grid = np.linspace(0, max(norms), CURVE_POINTS)
    return {"norm": grid.tolist(), "t": np.asarray(defense.purify.times(jnp.asarray(grid))).mean(axis=0).tolist()}
