"""Measuring the reference norms of clean images, block by block."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ssni_jax.core.arrays import to_diffusion_range
from ssni_jax.core.protocols import Deviation
from ssni_jax.core.rng import fold, root_key, sample_keys
from ssni_jax.data import take
from ssni_jax.data.loader import padded, process_slice
from ssni_jax.dist import by_rows, global_rows, local_rows, make_mesh, wait_for_all
from ssni_jax.experiments import ReferenceNorms
from ssni_jax.jobs.run import Pause, WorkUnit, run
from ssni_jax.jobs.sharing import ALL, Share
from ssni_jax.jobs.start import opened
from ssni_jax.jobs.work_unit import missing_blocks
from ssni_jax.journal.calibration import merged_norms
from ssni_jax.journal.formats import number
from ssni_jax.journal.identity import precision_of
from ssni_jax.journal.units import Journal
from ssni_jax.journal.workdir import run_facts, write_run
from ssni_jax.lifecycle import Stopper
from ssni_jax.purify import Calibration

MEASURED = "measured"


def calibrate(
    experiment: ReferenceNorms, deviation: Deviation, workdir: Path, stopper: Stopper, share: Share = ALL
) -> Calibration | None:
    """The calibration of a deviation, whose networks are in place; what the journal has is not measured again.

    None where a share is complete and others have images left.
    """
    identity = opened(workdir, experiment, {"deviation": deviation}, {"images": experiment.images}, share)
    job = CalibrationJob(experiment, deviation, Journal(workdir, identity["hash"]), share)
    if jax.process_index() == 0:
        write_run(workdir, experiment.ids, share.plain(stopper.command), **run_facts("calibration", experiment))
    with precision_of(experiment):
        run(job, workdir, stopper, share)
    wait_for_all("calibrated")
    norms = merged_norms(job.journal.units())
    if not set(experiment.ids) <= norms.keys():
        return None
    images = f"{len(experiment.ids)} of {len(experiment.images)} images"
    return Calibration.measured(
        deviation, [norms[id] for id in experiment.ids], data=experiment.images.fingerprint, images=images,
        seed=experiment.seed,
    )  # fmt: skip


class CalibrationJob:
    """The units of one calibration: blocks of images whose norms are measured together."""

    noun = "images"

    def __init__(self, experiment: ReferenceNorms, deviation: Deviation, journal: Journal, share: Share = ALL):
        self.experiment, self.deviation, self.journal, self.share = experiment, deviation, journal, share
        self.name, self.mesh = experiment.name, make_mesh()
        n_devices = self.mesh.shape["data"]
        self.n_rows = -(-min(experiment.batch_size, len(experiment.ids)) // n_devices) * n_devices
        self.measure: Any = None

    def plan(self) -> list[WorkUnit]:
        have = set(merged_norms(self.journal.units()))
        ids = self.share.ids(self.experiment.ids, self.experiment.batch_size)
        return [WorkUnit(MEASURED, block) for block in missing_blocks(ids, have, self.n_rows)]

    def load(self, unit: WorkUnit) -> dict[str, np.ndarray]:
        block = padded({"id": np.asarray(unit.ids, np.int64)}, self.n_rows)
        mine = process_slice(self.n_rows, jax.process_index(), jax.process_count())
        return {**take(self.experiment.images, block["id"][mine]), "mask": block["mask"][mine]}

    def prepare(self, unit: WorkUnit, loaded: dict[str, np.ndarray]) -> None:
        rows = global_rows(self.mesh, loaded)
        program = by_rows(self.mesh, lambda deviation, keys, x: deviation(fold(keys, 0), to_diffusion_range(x)))
        self.measure = jax.jit(program).lower(self.deviation, self._keys(rows), rows["image"]).compile()

    def forecast(self, units: Sequence[WorkUnit]) -> str | None:
        return None

    def work(self, unit: WorkUnit, loaded: dict[str, np.ndarray], pause: Pause) -> list[dict[str, Any]]:
        """The records of this process's rows, with the draws that a purifier under the same seed would take."""
        rows = global_rows(self.mesh, loaded)
        norms = local_rows(self.measure(self.deviation, self._keys(rows), rows["image"]))
        kept = zip(loaded["id"][loaded["mask"]], norms[loaded["mask"]], strict=True)
        return [{"id": int(id), "norm": float(norm)} for id, norm in kept]

    def write(self, unit: WorkUnit, outcome: list[dict[str, Any]]) -> None:
        if outcome:
            name = WorkUnit(unit.stage, tuple(record["id"] for record in outcome)).name
            self.journal.write(name, {"stage": MEASURED}, outcome)

    def summary(self) -> str:
        norms = list(merged_norms(self.journal.units()).values())
        return f"mean norm {number(float(np.mean(norms)))}" if norms else ""

    def _keys(self, rows: Any) -> Any:
        return sample_keys(root_key(self.experiment.seed), rows["id"])
