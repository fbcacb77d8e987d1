"""The plan of a training."""

import time
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from ssni_jax.core.rng import root_key
from ssni_jax.core.types import Tree
from ssni_jax.dist import make_mesh, rows, sharded_over_data, whole
from ssni_jax.dist.targets import HardwareTarget
from ssni_jax.evals.collectives import collectives
from ssni_jax.evals.footprint import temporary_bytes
from ssni_jax.evals.network_calls import Calls
from ssni_jax.experiments import Training
from ssni_jax.jobs.plan import ProgramPlan, RunPlan, n_bytes, placed, rows_that_fit
from ssni_jax.networks import abstract, make_rngs
from ssni_jax.training import has_target, make_state, make_train_step
from ssni_jax.training.step import step_program
from ssni_jax.zoo import outline


def plan_training(experiment: Training, target: HardwareTarget) -> RunPlan:
    """The plan of all steps; parameters and optimiser state lie in parts over the devices, as in the run."""
    n_rows = -(-experiment.batch_size // target.n_devices)
    one, flops = training_program(experiment, target.mesh(), n_rows), _flops(experiment)
    fitting = rows_that_fit(target, n_rows, [one], lambda n: [training_program(experiment, None, n)])
    n_images = experiment.batch_size * experiment.n_steps
    return RunPlan(experiment.name, target, n_images, n_rows, (one,), fitting, {"training": Calls(0, 0)}, flops)


def training_program(experiment: Training, mesh: Mesh | None, n_rows: int) -> ProgramPlan:
    """The step at so many rows per device, compiled for a mesh, or estimated for one device that holds all."""
    begun = time.monotonic()
    lowered_on = make_mesh(devices=jax.devices()[:1]) if mesh is None else mesh
    arguments = step_arguments(experiment, lowered_on, n_rows * lowered_on.shape["data"])
    if mesh is None:
        temporary, _ = temporary_bytes(step_program(None), *arguments)
        return ProgramPlan("step", n_bytes(arguments), temporary, 0, time.monotonic() - begun)
    program = lowered_step(experiment, mesh, n_rows).compile()
    memory = program.memory_analysis()
    results = memory.output_size_in_bytes - memory.alias_size_in_bytes
    sizes = memory.argument_size_in_bytes, memory.temp_size_in_bytes, results
    return ProgramPlan("step", *sizes, time.monotonic() - begun, collectives(program.as_text()))


def lowered_step(experiment: Training, mesh: Mesh, n_rows: int) -> Any:
    """The step lowered for a mesh, with its state in parts over "data"."""
    arguments = step_arguments(experiment, mesh, n_rows * mesh.shape["data"])
    return step_program(arguments[0]).lower(*arguments)


def step_arguments(experiment: Training, mesh: Mesh, n: int) -> tuple[Any, ...]:
    """State, step, root key and a batch of `n` images, as shapes with their places."""
    network, tx = experiment.network, experiment.optimizer.transform(experiment.n_steps)
    loss = placed(outline(experiment.loss), mesh)

    def init() -> Tree:
        return make_state(network.make(rngs=make_rngs(root_key(0))), tx, has_target(experiment.loss))[1]

    shapes = jax.eval_shape(init)
    state = jax.tree.map(_at, shapes, sharded_over_data(mesh, shapes))
    counts = {"n_accumulate": experiment.n_accumulate, "n_steps": experiment.n_steps}
    graphdef: nnx.GraphDef = abstract(network.make)[0]
    step = make_train_step(loss, graphdef, tx, experiment.ema_decay, **counts)
    side = getattr(network, "resolution", None) or experiment.images.image_shape[0]
    shape = (n, side, side, network.in_channels)  # type: ignore[attr-defined]
    image = jax.ShapeDtypeStruct(shape, jnp.float32, sharding=rows(mesh))
    label = jax.ShapeDtypeStruct((n,), jnp.int32, sharding=rows(mesh))
    key = jax.eval_shape(lambda: jax.random.key(0))
    root = jax.ShapeDtypeStruct((), key.dtype, sharding=whole(mesh))
    return state, step, root, {"image": image, "label": label}


def _at(leaf: Any, place: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)


def _flops(experiment: Training) -> float:
    """Operations per image, as XLA counts those of the step on a batch."""
    mesh = make_mesh(devices=jax.devices()[:1])
    arguments = step_arguments(experiment, mesh, 2 * experiment.n_accumulate)
    analysis = step_program(None).lower(*arguments).cost_analysis()
    return float((analysis or {}).get("flops", 0.0)) / 2
