"""The plan of an evaluation."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ssni_jax.attacks import Ensemble
from ssni_jax.core.rng import sample_keys
from ssni_jax.dist import make_mesh
from ssni_jax.dist.targets import HardwareTarget
from ssni_jax.evals.cost import network_flops, timed
from ssni_jax.evals.network_calls import Calls, attack_calls, prediction_calls
from ssni_jax.evals.prediction import make_predict, n_votes
from ssni_jax.experiments import Evaluation
from ssni_jax.experiments.automatic import number_of
from ssni_jax.jobs.ensemble_job import EnsembleJob
from ssni_jax.jobs.evaluation_job import EvaluationJob
from ssni_jax.jobs.plan import (
    CompiledPlans,
    EstimatedPlans,
    Facts,
    ProgramPlan,
    RunPlan,
    batch_shapes,
    facts_of,
    placed,
    rows_that_fit,
)
from ssni_jax.journal.units import Journal
from ssni_jax.zoo import outline


def plan_evaluation(experiment: Evaluation, target: HardwareTarget, facts: Facts, *, divided: bool = False) -> RunPlan:
    """The plan of an evaluation whose numbers are settled, and the largest batch that would fit."""
    predict, attack = outline(experiment.defense), outline(experiment.attack)
    n_rows = -(-min(number_of(experiment.batch_size), facts.n_images) // target.n_devices)
    programs = evaluation_programs(experiment, target.mesh(), facts, n_rows, divided=divided)
    calls = {"prediction": prediction_calls(predict)}
    if attack is not None:
        calls["attack"] = attack_calls(predict, attack, experiment.objective)
        calls["judgement"] = calls["prediction"].times(-(-experiment.n_draws // n_votes(predict)))
    denoiser, classifier = network_flops(predict, facts.image_shape)
    total = sum(calls.values(), Calls(0, 0))
    flops = total.denoiser * denoiser + total.classifier * classifier
    fitting = rows_that_fit(target, n_rows, programs, partial(evaluation_programs, experiment, None, facts))
    return RunPlan(experiment.name, target, facts.n_images, n_rows, tuple(programs), fitting, calls, flops)


def evaluation_programs(
    experiment: Evaluation, mesh: Mesh | None, facts: Facts, n_rows: int, *, divided: bool = False
) -> list[ProgramPlan]:
    """All programs at so many rows per device, compiled for a mesh, or estimated without one."""
    plans: Any = EstimatedPlans() if mesh is None else CompiledPlans()
    mesh = make_mesh(devices=jax.devices()[:1]) if mesh is None else mesh
    predict = placed(outline(experiment.defense), mesh, divided=divided and mesh.shape["data"] > 1)
    predict, attack = predict.scanned() if divided else predict, placed(outline(experiment.attack), mesh)
    kind = EnsembleJob if isinstance(experiment.attack, Ensemble) else EvaluationJob
    job = kind(experiment, predict, attack, Journal(Path(), ""), "", plans, mesh)
    job.compile_all(*batch_shapes(mesh, facts.image_shape, n_rows * mesh.shape["data"]))
    return list(plans.plans.values())


def seconds_per_call(experiment: Evaluation, plan: RunPlan) -> float:
    """A probe of the purifier in two steps: seconds per network call and row on the devices that are here."""
    mesh = make_mesh()
    _, x, _ = batch_shapes(mesh, facts_of(experiment).image_shape, plan.n_rows * mesh.shape["data"])
    predict = jax.tree.map(_zeros, placed(outline(experiment.defense), mesh)).with_steps(2)
    arguments = predict, sample_keys(jax.random.key(0), jnp.arange(len(x))), jnp.zeros(x.shape)
    seconds = timed(make_predict(mesh, number_of(experiment.n_slots)), *arguments, repeats=3).seconds
    return seconds / (len(x) * prediction_calls(predict).denoiser)


def _zeros(leaf: Any) -> Any:
    is_shape = isinstance(leaf, jax.ShapeDtypeStruct)
    return jax.device_put(np.zeros(leaf.shape, leaf.dtype), leaf.sharding) if is_shape else leaf
