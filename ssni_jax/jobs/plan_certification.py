"""The plan of a certification."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ssni_jax.certify import Draws
from ssni_jax.certify.smooth import PHASES
from ssni_jax.dist import make_mesh, rows, whole
from ssni_jax.dist.targets import HardwareTarget
from ssni_jax.evals.cost import network_flops
from ssni_jax.evals.network_calls import Calls, prediction_calls
from ssni_jax.evals.smoothing import make_programs
from ssni_jax.experiments import Certification
from ssni_jax.experiments.fit import n_classes_of
from ssni_jax.jobs.plan import CompiledPlans, EstimatedPlans, Facts, ProgramPlan, RunPlan, placed, rows_that_fit
from ssni_jax.zoo import outline


def plan_certification(experiment: Certification, target: HardwareTarget, facts: Facts) -> RunPlan:
    """The plan of one method, with every draw of every image at every sigma; a stopping rule takes fewer."""
    n_rows = -(-experiment.batch_size // target.n_devices)
    programs = certification_programs(experiment, target.mesh(), facts, n_rows)
    predicts = [outline(experiment.defense.at_noise(sigma)) for sigma in experiment.sigmas]
    n_draws = experiment.n_selection + experiment.n_estimation
    calls = sum((prediction_calls(predict).times(n_draws) for predict in predicts), Calls(0, 0))
    denoiser, classifier = network_flops(predicts[0], facts.image_shape)
    flops = calls.denoiser * denoiser + calls.classifier * classifier
    fitting = rows_that_fit(target, n_rows, programs, partial(certification_programs, experiment, None, facts))
    return RunPlan(
        experiment.name, target, facts.n_images, n_rows, tuple(programs), fitting, {"all draws": calls}, flops
    )


def certification_programs(
    experiment: Certification, mesh: Mesh | None, facts: Facts, n_rows: int
) -> list[ProgramPlan]:
    """All programs at so many draws per device, compiled for a mesh, or estimated without one."""
    plans: Any = EstimatedPlans() if mesh is None else CompiledPlans()
    mesh = make_mesh(devices=jax.devices()[:1]) if mesh is None else mesh
    n_devices = mesh.shape["data"]
    programs, defense = make_programs(mesh, n_rows * n_devices), experiment.defense.at_noise(experiment.sigmas[0])
    predict, distance = (placed(outline(value), mesh) for value in (defense, experiment.distance))
    n_classes = n_classes_of(experiment.defense, facts.image_shape)
    n_images = -(-min(experiment.n_together, facts.n_images) // n_devices) * n_devices
    draws = _draws(mesh, n_images, facts.image_shape)
    tallies = jax.ShapeDtypeStruct((n_devices, len(PHASES) * n_images, 1 + n_classes), jnp.int32, sharding=rows(mesh))
    plans.compiled("votes", programs.count, predict, draws, tallies, (np.int32(0), np.int32(1)))
    plans.compiled("quality", programs.measure, predict, distance, draws, np.int32(0))
    return list(plans.plans.values())


def _draws(mesh: Mesh, n: int, image_shape: tuple[int, ...]) -> Draws:
    """Draws of so many images, as shapes."""

    def shape(*lengths: int, dtype: Any = jnp.int32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(lengths, dtype, sharding=whole(mesh))

    root = jax.eval_shape(lambda: jax.random.key(0))
    images, sigma = shape(n, *image_shape, dtype=jnp.float32), shape(n, dtype=jnp.float32)
    counts = shape(len(PHASES), n)
    parts: Any = (shape(dtype=root.dtype), shape(n), images, sigma, counts, counts)
    return Draws(*parts)
