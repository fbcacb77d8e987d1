"""One training run in one directory: init_state or resumed, trained, exported."""

import datetime
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from ssni_jax.convert import save_network
from ssni_jax.core.describe import describe
from ssni_jax.core.types import Tree
from ssni_jax.data import training_batches
from ssni_jax.dist import make_mesh, on_every_host, sharded_over_data
from ssni_jax.networks import flat
from ssni_jax.runs.experiment import Training
from ssni_jax.runs.workdir import open_workdir
from ssni_jax.training import Checkpoints, averaged, compile_step, init_state, make_train_step, train, usual_hooks


def run_training(experiment: Training, workdir: Path) -> Path:
    """Trains to the last step, from the newest checkpoint if there is one; returns where the network was written."""
    open_workdir(workdir, describe(experiment))
    mesh, tx = make_mesh(), experiment.optimizer.transform(experiment.n_steps)
    build = lambda: experiment.network.make(rngs=nnx.Rngs(experiment.seed))  # noqa: E731
    graphdef, state = init_state(build, tx, lambda shapes: sharded_over_data(mesh, shapes))
    step = make_train_step(experiment.loss, graphdef, tx, experiment.ema_decay, experiment.n_accumulate)
    batches = training_batches(
        experiment.images, experiment.batch_size, experiment.seed, jax.process_index(), jax.process_count()
    )
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        state = checkpoints.resume(state, batches)
        hooks = usual_hooks(
            checkpoints, batches, n_steps=experiment.n_steps, batch_size=experiment.batch_size,
            every=experiment.every, save_every=experiment.save_every,
        )  # fmt: skip
        root = jax.random.key(experiment.seed)
        state = train(
            state, compile_step(step, root, mesh, like=state), batches, n_steps=experiment.n_steps, hooks=hooks
        )
    return export(experiment, averaged(graphdef, state), workdir)


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
