"""Evaluating a predictor under an attack or an ensemble of attacks."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from ssni_jax.attacks import Ensemble
from ssni_jax.core.protocols import Predict
from ssni_jax.data import Source
from ssni_jax.dist import agree, make_mesh, wait_for_all, whole
from ssni_jax.experiments import Evaluation
from ssni_jax.jobs.automatic import settled_here
from ssni_jax.jobs.ensemble_job import EnsembleJob
from ssni_jax.jobs.evaluation_job import EvaluationJob
from ssni_jax.jobs.programs import CompiledPrograms
from ssni_jax.jobs.run import attempt, run
from ssni_jax.jobs.sharing import ALL, Share
from ssni_jax.jobs.start import opened
from ssni_jax.journal.identity import precision_of
from ssni_jax.journal.units import Journal
from ssni_jax.lifecycle import Stopper
from ssni_jax.zoo import resolve


def evaluate(
    experiment: Evaluation,
    predict: Predict,
    workdir: Path,
    stopper: Stopper,
    programs: CompiledPrograms | None = None,
    *,
    share: Share = ALL,
) -> None:
    """Evaluates every image that lacks a record or draws; `predict` is the experiment's with its networks in place.

    `programs` are those that other evaluations of this process have compiled. With a `share` only its images are.
    """
    attack = resolve(experiment.attack, whole(make_mesh()))
    identity = opened(workdir, experiment, networks_of(predict, attack), sources_of(experiment), share)
    share.check_size(experiment.batch_size)
    experiment = settled_here(experiment)
    job = make_job(
        experiment, predict, attack, Journal(workdir, identity["hash"]), share.plain(stopper.command), programs
    )
    job.share = share
    room, error = attempt(job.room) if jax.process_index() == 0 else (None, None)
    agree(error)
    if jax.process_index() == 0:
        if room is not None:
            print(f"{experiment.name}: {room}", flush=True)
        job.write_facts()
    with precision_of(experiment):
        run(job, workdir, stopper, share)
    if jax.process_index() == 0:
        job.write_facts(**job.facts_at_end())
    wait_for_all("evaluated")


def make_job(experiment: Evaluation, predict: Predict, attack: Any, *rest: Any) -> EvaluationJob:
    """The job of an experiment whose predictor and attack have their networks in place."""
    kind = EnsembleJob if isinstance(attack, Ensemble) else EvaluationJob
    return kind(experiment, predict, attack, *rest)


def sources_of(experiment: Evaluation) -> dict[str, Source | None]:
    """The images whose content is part of the identity."""
    return {"images": experiment.images, "adversarial": experiment.adversarial}


def networks_of(predict: Predict, attack: Any) -> dict[str, Any]:
    """What the identity fingerprints: the predictor, and the attack where it has arrays of its own."""
    has_arrays = any(np.ndim(leaf) > 0 for leaf in jax.tree.leaves(attack))
    return {"predict": predict, **({"attack": attack} if has_arrays else {})}
