"""One training run in one directory: init_state or resumed, trained, exported."""

import datetime
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from rich.console import Console

from ssni_jax.convert import save_network
from ssni_jax.core.describe import describe
from ssni_jax.core.protocols import TrainingObjective
from ssni_jax.core.rng import root_key
from ssni_jax.core.types import Tree
from ssni_jax.data import training_batches
from ssni_jax.dist import agree, make_mesh, on_every_host, sharded_over_data
from ssni_jax.experiments import Training
from ssni_jax.files import lock
from ssni_jax.files.checked import write_sealed
from ssni_jax.jobs.progress import Progress
from ssni_jax.jobs.run import attempt
from ssni_jax.jobs.start import opened
from ssni_jax.jobs.training_pictures import Pictures, make_draw
from ssni_jax.journal.formats import number
from ssni_jax.networks import flat, make_rngs
from ssni_jax.training import (
    Checkpoints,
    averaged,
    begun_with,
    compile_step,
    has_target,
    init_state,
    make_train_step,
    train,
    usual_hooks,
)


def run_training(experiment: Training, loss: TrainingObjective, start: Tree, workdir: Path, command: str) -> Path:
    """Trains to the last step, from the newest checkpoint if there is one; returns where the network was written.

    `loss` and `start` are the experiment's with their stored networks in place; `command` resumes the run.
    """
    opened(workdir, experiment, {"start": start, "loss": loss}, {"images": experiment.images})
    held, error = attempt(lambda: lock(workdir / "lock", "training")) if jax.process_index() == 0 else (None, None)
    agree(error)
    with held or nullcontext():
        return trained(experiment, loss, start, workdir, command)


def trained(experiment: Training, loss: TrainingObjective, start: Tree, workdir: Path, command: str) -> Path:
    """`run_training` in a workdir that is opened and locked."""
    if jax.process_index() == 0:
        write_sealed(workdir / "run.json", {"kind": "training", "command": command, "n_steps": experiment.n_steps})
    mesh, tx = make_mesh(), experiment.optimizer.transform(experiment.n_steps)

    def build() -> nnx.Module:
        return experiment.network.make(rngs=make_rngs(root_key(experiment.seed)))

    graphdef, state = init_state(build, tx, lambda shapes: sharded_over_data(mesh, shapes), has_target(loss))
    state = state if start is None else begun_with(state, start)
    counts = {"n_accumulate": experiment.n_accumulate, "n_steps": experiment.n_steps}
    step = make_train_step(loss, graphdef, tx, experiment.ema_decay, **counts)
    batches = training_batches(
        experiment.images, experiment.batch_size, experiment.seed, jax.process_index(), jax.process_count()
    )
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        state = checkpoints.resume(state, batches)
        hooks = usual_hooks(
            checkpoints, batches, n_steps=experiment.n_steps, every=experiment.every, save_every=experiment.save_every,
            command=command,
        )  # fmt: skip
        hooks += (ShowSteps(experiment.name, experiment.n_steps, experiment.batch_size, experiment.every),)
        draw = make_draw(loss, graphdef, experiment.images, experiment.seed, mesh)
        if draw is not None and experiment.pictures_every:
            hooks += (Pictures(draw, workdir / "pictures", experiment.pictures_every, experiment.n_steps),)
        root = root_key(experiment.seed)
        state = train(
            state, compile_step(step, root, mesh, like=state), batches, n_steps=experiment.n_steps, hooks=hooks
        )
    return export(experiment, averaged(graphdef, state), workdir)


class ShowSteps:
    """A hook that shows loss, speed and time left every `every` steps and after the last, on process 0.

    Reading the loss waits for the device, so the speed is the real one; the first step compiles and does not count.
    """

    def __init__(self, name: str, n_steps: int, batch_size: int, every: int, console: Console | None = None):
        self.n_steps, self.batch_size, self.every = n_steps, batch_size, every
        self.progress = Progress(name, n_steps, "steps", self._summary, console, pause_s=0.0)
        self.loss, self.since = float("nan"), time.monotonic()

    def __enter__(self) -> "ShowSteps":
        self.progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.__exit__()

    def __call__(self, n: int, state: Tree, metrics: Mapping[str, Any]) -> None:
        if jax.process_index():
            return
        if not self.progress.n_done:
            float(metrics["loss"])
            self.progress.start(n)
        if n % self.every == 0 or n == self.n_steps:
            self.loss = float(metrics["loss"])
            self.progress.advance(n - self.progress.n_done)

    def _summary(self) -> str:
        return f"{number(self.batch_size * self.progress.speed)} images/s  loss {self.loss:.4g}"


def export(experiment: Training, module: nnx.Module, workdir: Path) -> Path:
    """The averaged network as safetensors and JSON; written once, by process 0."""
    state: Tree = on_every_host(nnx.split(module)[1])
    path = workdir / experiment.name
    if jax.process_index() == 0:
        save_network(path, {name: np.asarray(array) for name, array in flat(state).items()}, about(experiment))
    return path


AROUND = ("coefficients", "preprocessing", "conditioning")


def about(experiment: Training) -> dict:
    """What the JSON beside the weights says."""
    return {
        "name": experiment.name,
        "architecture": describe(experiment.network),
        **{part: describe(getattr(experiment.loss, part, None)) for part in AROUND},
        "licence": experiment.licence,
        "date": datetime.date.today().isoformat(),
        "data": experiment.images.fingerprint,
        "training": describe(experiment),
    }
