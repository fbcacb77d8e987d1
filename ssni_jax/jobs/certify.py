"""Certifying a predictor: group by group of images, each on disk before the next begins."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from ssni_jax.core.describe import describe
from ssni_jax.core.protocols import Distance, Predict
from ssni_jax.core.rng import root_key
from ssni_jax.data.loader import padded
from ssni_jax.data.source import take
from ssni_jax.dist import make_mesh, wait_for_all
from ssni_jax.evals.smoothing import Programs, Quality, make_programs
from ssni_jax.evals.votes import DrawPlan, Group, collect, warm_up
from ssni_jax.experiments import Certification
from ssni_jax.jobs.run import Pause, WorkUnit, run
from ssni_jax.jobs.sharing import ALL, Share
from ssni_jax.jobs.start import opened
from ssni_jax.journal.certification import CertifiedRecord, as_record, certified_so_far, merged_certificates
from ssni_jax.journal.formats import number
from ssni_jax.journal.identity import precision_of
from ssni_jax.journal.units import Journal
from ssni_jax.journal.workdir import run_facts, write_run
from ssni_jax.lifecycle import Stopper

T = TypeVar("T")
CERTIFIED = "certified"


class Ready(NamedTuple):
    """The predictor as it takes noised images of each sigma, and the distance, both with their networks."""

    predicts: Mapping[float, Predict]
    distance: Distance | None = None


def certify(experiment: Certification, ready: Ready, workdir: Path, stopper: Stopper, share: Share = ALL) -> None:
    """Certifies every image of the share at every sigma that has no record yet; process 0 writes."""
    networks = {"predict": next(iter(ready.predicts.values())), "distance": ready.distance}
    identity = opened(workdir, experiment, networks, {"images": experiment.images}, share)
    job = CertificationJob(experiment, ready, Journal(workdir, identity["hash"]), share)
    if jax.process_index() == 0:
        write_run(workdir, experiment.ids, share.plain(stopper.command), **facts(experiment))
    with precision_of(experiment):
        run(job, workdir, stopper, share)
    wait_for_all("certified")


def facts(experiment: Certification) -> dict[str, Any]:
    """What status and report need to know of the run."""
    shown = ("alpha", "n_selection", "n_estimation", "every", "sigmas")
    named = {name: getattr(experiment, name) for name in shown}
    return {**run_facts("certification", experiment), **named, "stopping": describe(experiment.stopping)}


class CertificationJob:
    """The units of one certification: images whose draws share batches, at one sigma."""

    noun = "certificates"

    def __init__(self, experiment: Certification, ready: Ready, journal: Journal, share: Share = ALL):
        self.experiment, self.ready, self.journal, self.share = experiment, ready, journal, share
        self.name, self.mesh = experiment.name, make_mesh()
        n_devices = self.mesh.shape["data"]
        self.programs: Programs = make_programs(self.mesh, -(-experiment.batch_size // n_devices) * n_devices)
        self.seconds: dict[float, float] = {}

    def plan(self) -> list[WorkUnit]:
        certified = {(record["id"], record["sigma"]) for record in merged_certificates(self.journal.units())}
        units = []
        for group in self.share.of_blocks(self.experiment.groups):
            for sigma in self.experiment.sigmas:
                left = tuple(id for id in group if (id, sigma) not in certified)
                units += [WorkUnit(f"{CERTIFIED}-sigma{sigma:g}", left, sigma)] if left else []
        return units

    def load(self, unit: WorkUnit) -> Group:
        """The images of a unit, filled up to one shape for all units, a multiple of the devices."""
        n_devices = self.mesh.shape["data"]
        size = -(-min(self.experiment.n_together, len(self.experiment.ids)) // n_devices) * n_devices
        batch = padded(take(self.experiment.images, unit.ids), size)
        root = root_key(self.experiment.seed)
        return Group(root, batch["id"], batch["image"], batch["mask"], unit.of, batch["label"])

    def prepare(self, unit: WorkUnit, loaded: Group) -> None:
        """Compiles everything, and times one batch of draws at each sigma."""
        for sigma in {unit.of for unit in self.plan()}:
            group = loaded._replace(sigma=sigma)
            self.seconds[sigma] = warm_up(self.programs, self.ready.predicts[sigma], group)
            self._quality(group, 1)

    def forecast(self, units: Sequence[WorkUnit]) -> str | None:
        n_draws = self.experiment.n_selection + self.experiment.n_estimation
        left = sum(len(unit.ids) * n_draws * self.seconds[unit.of] for unit in units)
        n = sum(len(unit.ids) for unit in units)
        per_draw = number(1000 * left / n_draws / n)
        return f"at most {n_draws} draws per certificate at about {per_draw} ms per draw: {left / 60:.1f} min"

    def work(self, unit: WorkUnit, loaded: Group, pause: Pause) -> list[CertifiedRecord]:
        plan = DrawPlan(
            self.experiment.n_selection, self.experiment.n_estimation, self.experiment.alpha, self.experiment.stopping
        )
        start = time.perf_counter()
        votes = collect(self.programs, self.ready.predicts[unit.of], loaded, plan)
        n_draws = len(unit.ids) * self.experiment.n_selection + int(votes.looks.max(axis=1).sum())
        seconds = (time.perf_counter() - start) / n_draws
        self.speed = 1 / seconds
        measured = self._quality(loaded, self.experiment.n_quality)
        records = []
        for row, id in enumerate(unit.ids):
            image = (id, int(loaded.labels[row]), unit.of)
            records.append(as_record(self.experiment, image, row_of(votes, row), row_of(measured, row), seconds))
        return records

    def write(self, unit: WorkUnit, outcome: list[CertifiedRecord]) -> None:
        if jax.process_index() == 0:
            self.journal.write(unit.name, {"stage": CERTIFIED}, outcome)

    def summary(self) -> str:
        records = merged_certificates(self.journal.units())
        return f"{number(getattr(self, 'speed', 0.0))} draws/s  {certified_so_far(self.name, records)}"

    def _quality(self, group: Group, n_draws: int) -> Quality:
        """The measures of purified images, averaged over the first draws of each."""
        none = np.zeros((2, len(group.ids)), np.int32)
        predict, distance = self.ready.predicts[group.sigma], self.ready.distance
        measure = partial(self.programs.measure, predict, distance, group.draws(none, none))
        draws = [jax.tree.map(np.asarray, measure(number)) for number in range(n_draws)]
        return jax.tree.map(lambda *values: np.mean(values, axis=0), *draws)


def row_of(values: T, row: int) -> T:
    """One image's row of every field."""
    return jax.tree.map(lambda value: value[row], values)
