"""Choosing the numbers that an experiment leaves to the plan, by the memory of the devices."""

import dataclasses
from functools import partial

import jax
import numpy as np

from ssni_jax.dist.targets import HERE, HardwareTarget, target_named
from ssni_jax.experiments import Evaluation
from ssni_jax.experiments.automatic import AUTO, number_of
from ssni_jax.jobs.plan import Facts, facts_of, rows_that_fit
from ssni_jax.jobs.plan_evaluation import evaluation_programs
from ssni_jax.jobs.run import from_first

MOST_ROWS, MOST_SLOTS = 64, 32  # per device, of what "auto" chooses
ESTIMATE_MARGIN = 2.0  # an estimate from shapes may be off by this factor


def settled(experiment: Evaluation, target: HardwareTarget, facts: Facts) -> Evaluation:
    """The experiment with numbers where it says "auto": as many rows as fit by estimates from shapes, with a margin.

    At most `MOST_ROWS` rows per device, beyond which batches only take longer to finish.
    """
    objective = experiment.objective
    if AUTO not in (experiment.batch_size, experiment.n_slots, objective.n_together):
        return experiment
    one = dataclasses.replace(objective, n_together=1 if objective.n_together == AUTO else objective.n_together)
    probe = dataclasses.replace(experiment, objective=one, n_slots=MOST_SLOTS, batch_size=1)
    estimates = partial(evaluation_programs, probe, None, facts)
    fitting = rows_that_fit(target, 1, estimates(1), estimates)
    most = MOST_ROWS if fitting is None else max(1, int(fitting / ESTIMATE_MARGIN))
    rows = min(most, MOST_ROWS, -(-facts.n_images // target.n_devices))
    if experiment.batch_size != AUTO:
        rows = -(-experiment.batch_size // target.n_devices)
    n_together = min(objective.n_draws, max(1, most // rows)) if objective.n_together == AUTO else objective.n_together
    return dataclasses.replace(
        experiment,
        batch_size=rows * target.n_devices,
        n_slots=min(rows, MOST_SLOTS) if experiment.n_slots == AUTO else experiment.n_slots,
        objective=dataclasses.replace(objective, n_together=n_together),
    )


def settled_here(experiment: Evaluation) -> Evaluation:
    """The experiment with numbers where it says "auto", for the devices of this job.

    Every process takes what the first one has chosen.
    """
    if AUTO not in (experiment.batch_size, experiment.n_slots, experiment.objective.n_together):
        return experiment
    chosen = settled(experiment, target_named(HERE), facts_of(experiment))
    numbers = [number_of(chosen.batch_size), number_of(chosen.n_slots), chosen.objective.n_together or 0]
    batch_size, n_slots, n_together = from_first(np.asarray(numbers)).tolist()
    objective = dataclasses.replace(chosen.objective, n_together=n_together or None)
    if jax.process_index() == 0:
        print(
            f"{chosen.name}: batch_size={batch_size} n_slots={n_slots} n_together={n_together or None} fit", flush=True
        )
    return dataclasses.replace(chosen, batch_size=batch_size, n_slots=n_slots, objective=objective)
