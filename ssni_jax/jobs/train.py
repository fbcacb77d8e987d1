"""One training run in one directory: init_state or resumed, trained, exported."""

import datetime
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from ssni_jax.convert import save_network
from ssni_jax.core.describe import describe
from ssni_jax.core.fingerprint import fingerprint
from ssni_jax.core.protocols import Objective
from ssni_jax.core.types import Tree
from ssni_jax.data import training_batches
from ssni_jax.dist import make_mesh, on_every_host, sharded_over_data
from ssni_jax.experiments.experiment import Training
from ssni_jax.files.atomic import write_json
from ssni_jax.jobs.training_pictures import Pictures, make_draw
from ssni_jax.journal.workdir import open_workdir
from ssni_jax.networks import flat
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


def run_training(experiment: Training, loss: Objective, start: Tree, workdir: Path, command: str) -> Path:
    """Trains to the last step, from the newest checkpoint if there is one; returns where the network was written.

    `loss` and `start` are the experiment's with their stored networks in place; `command` resumes the run.
    """
    open_workdir(workdir, {**describe(experiment), "networks": networks_of(loss, start)})
    write_json(workdir / "run.json", {"kind": "training", "command": command})
    mesh, tx = make_mesh(), experiment.optimizer.transform(experiment.n_steps)
    build = lambda: experiment.network.make(rngs=nnx.Rngs(experiment.seed))  # noqa: E731
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
            checkpoints, batches, n_steps=experiment.n_steps, batch_size=experiment.batch_size,
            every=experiment.every, save_every=experiment.save_every, command=command,
        )  # fmt: skip
        draw = make_draw(loss, graphdef, experiment.images, experiment.seed, mesh)
        if draw is not None and experiment.pictures_every:
            hooks += (Pictures(draw, workdir / "pictures", experiment.pictures_every, experiment.n_steps),)
        root = jax.random.key(experiment.seed)
        state = train(
            state, compile_step(step, root, mesh, like=state), batches, n_steps=experiment.n_steps, hooks=hooks
        )
    return export(experiment, averaged(graphdef, state), workdir)


def networks_of(loss: Objective, start: Tree) -> dict[str, str | None]:
    """Hashes of the stored networks in a run; a network replaced under the same name is another run."""
    return {"start": None if start is None else fingerprint(start), "loss": fingerprint(loss)}


def export(experiment: Training, module: nnx.Module, workdir: Path) -> Path:
    """The averaged network as safetensors and JSON; written once, by process 0."""
    state: Tree = on_every_host(nnx.split(module)[1])
    path = workdir / experiment.name
    if jax.process_index() == 0:
        save_network(path, {name: np.asarray(array) for name, array in flat(state).items()}, about(experiment))
    return path


def about(experiment: Training) -> dict:
    """What the JSON beside the weights says."""
    return {
        "name": experiment.name,
        "architecture": describe(experiment.network),
        "coefficients": describe(getattr(experiment.loss, "coefficients", None)),
        "preprocessing": describe(getattr(experiment.loss, "preprocessing", None)),
        "licence": experiment.licence,
        "date": datetime.date.today().isoformat(),
        "data": experiment.images.fingerprint,
        "training": describe(experiment),
    }
