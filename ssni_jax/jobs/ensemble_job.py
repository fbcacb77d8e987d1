"""The units of an evaluation under an ensemble: one attack after the other on what stands, then the judgement."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh

from ssni_jax.attacks import Ensemble
from ssni_jax.attacks.ensemble import CLEAN
from ssni_jax.core.protocols import Predict
from ssni_jax.core.rng import fold
from ssni_jax.data.source import as_float
from ssni_jax.experiments import Evaluation
from ssni_jax.files.atomic import read_arrays, write_arrays
from ssni_jax.jobs.attack import Attacking, AttackRun, header_of
from ssni_jax.jobs.evaluation_job import ATTACK, ITERATE, EvaluationJob
from ssni_jax.jobs.kept_images import as_stored
from ssni_jax.jobs.outcome import Batch, Outcome
from ssni_jax.jobs.programs import ProgramSource, structure_of
from ssni_jax.jobs.run import Pause, WorkUnit
from ssni_jax.journal.ensemble import STAGE, Stages
from ssni_jax.journal.evaluation import EVALUATED, RESTORE
from ssni_jax.journal.units import Journal

STAGE_KEYS = 1 << 24  # beyond every draw that the keys of an attack are folded with


class StageOutcome(NamedTuple):
    """What an attack of the ensemble did to one block, this process's rows on the host."""

    batch: Batch
    attack: AttackRun


class EnsembleJob(EvaluationJob):
    """Blocks of the images that stand, under attack after attack; when all are through, blocks that are judged.

    Every block has the shape of a full batch, so that an attack is compiled once, and attacks that differ in numbers
    alone, such as target classes, are one program.
    """

    noun = "image stages"  # an image counts once per attack that runs on it, and once when it is judged

    def __init__(
        self,
        experiment: Evaluation,
        predict: Predict,
        attack: Ensemble,
        journal: Journal,
        command: str,
        programs: ProgramSource | None = None,
        mesh: Mesh | None = None,
    ):
        super().__init__(experiment, predict, None, journal, command, programs, mesh)
        self.ensemble, self.attackings = attack, {}
        self.objective = experiment.objective.of(predict)

    @property
    def stages(self) -> Stages:
        """What the journal holds of the attacks by now, on the images of this share."""
        return self._stages_of(self.ids)

    @property
    def n_copies(self) -> int:
        """One that is judged, and one for every attack that may have found more wrong draws than those before."""
        n_draws = self.ensemble.most_draws(self.experiment.objective.n_draws)
        return 1 + min(len(self.ensemble.attacks), n_draws)

    def plan(self) -> list[WorkUnit]:
        stages = self.stages
        if stages.current is None:
            return super().plan()
        ids, recorded = stages.standing(stages.current), stages.recorded(stages.current)
        blocks = [ids[start : start + self.n_rows] for start in range(0, len(ids), self.n_rows)]
        left = [tuple(id for id in block if id not in recorded) for block in blocks]
        return [WorkUnit(f"{STAGE}{stages.current}", block, stages.current, True) for block in left if block]

    def load(self, unit: WorkUnit) -> dict[str, np.ndarray]:
        rows = super().load(unit._replace(of=None) if is_stage(unit) else unit)
        if unit.stage == EVALUATED:
            rows["adversarial"] = self._images(rows, self.stages.strongest(rows["id"].tolist()))
        return rows

    def prepare(self, unit: WorkUnit, loaded: dict[str, np.ndarray]) -> None:
        if not is_stage(unit):
            return super().prepare(unit, loaded)
        if self.experiment.judge_every is not None:
            super().prepare(unit, loaded)
        batch = self._batch(loaded)
        self._program(unit).compile(batch.keys, batch.rows["image"], batch.rows["label"])

    def compile_all(self, keys: Any, x: Any, y: Any) -> None:
        for name in self.ensemble.stages:
            self._program(WorkUnit(f"{STAGE}{name}", (0,), name)).compile(keys, x, y)
        super().compile_all(keys, x, y)

    def first_of_each_stage(self, first: WorkUnit) -> list[WorkUnit]:
        stages = [WorkUnit(f"{STAGE}{name}", first.ids, name) for name in self.ensemble.stages]
        return [*stages, WorkUnit(EVALUATED, first.ids)]

    def work(self, unit: WorkUnit, loaded: dict[str, np.ndarray], pause: Pause) -> Any:
        if not is_stage(unit):
            return super().work(unit, loaded, pause)
        batch = self._batch(loaded)
        number = tuple(self.ensemble.stages).index(unit.of)
        keys, iterate = (fold(fold(batch.keys, use), STAGE_KEYS + number) for use in (ATTACK, ITERATE))
        attacking = self._program(unit).like(self.ensemble.stages[unit.of])
        return StageOutcome(batch, attacking.run(unit, keys, batch.rows, pause, self._answer(iterate)).on_host())

    def write(self, unit: WorkUnit, outcome: Any) -> None:
        if not is_stage(unit):
            return super().write(unit, outcome)
        mine = np.flatnonzero(outcome.batch.local["mask"]).tolist()
        if not mine:
            return
        ids = outcome.batch.local["id"][mine]
        name = WorkUnit(unit.stage, tuple(ids.tolist())).name
        kept = self._kept(unit, outcome, mine)
        if kept:
            images = as_stored(outcome.attack.image[kept], self.experiment.keep_images)
            write_arrays(self._path(name), {"id": outcome.batch.local["id"][kept], "image": images})
        records = [stage_record(outcome, row) for row in mine]
        self.journal.write(name, {"stage": unit.stage, **header_of(outcome.attack)}, records)
        self._program(unit).forget(unit)

    def records(self, outcome: Outcome, rows: Sequence[int]) -> list[dict[str, Any]]:
        """As without an ensemble; the judged iterates are those of every attack that ran on the image."""
        stages = self.stages
        return [record | stages.iterates_of(record["id"]) for record in super().records(outcome, rows)]

    def summary(self) -> str:
        return self.stages.summary() or super().summary()

    def facts_at_end(self) -> dict[str, Any]:
        return {**super().facts_at_end(), "stages": self._stages_of(self.experiment.ids).table()}

    def _stages_of(self, ids: Sequence[int]) -> Stages:
        return Stages(tuple(self.ensemble.stages), self.ensemble.falls_at, ids, self.journal.units())

    def _path(self, unit: str) -> Path:
        """The images of one attack's unit."""
        return self.journal.workdir / "stages" / f"{unit}.npz"

    def _kept(self, unit: WorkUnit, outcome: StageOutcome, mine: list[int]) -> list[int]:
        """The rows with more wrong draws than before, whose images may be judged."""
        known = outcome.attack.known
        if unit.of == CLEAN or known is None:
            return []
        before = self.stages.broken(outcome.batch.local["id"][mine].tolist())
        return [row for row, most in zip(mine, before, strict=True) if known.broken[row] > most]

    def _images(self, rows: Mapping[str, np.ndarray], units: Sequence[str | None]) -> np.ndarray:
        """The strongest image of each row from the unit that holds it, the clean one where no unit does."""
        stored = {unit: read_arrays(self._path(unit), RESTORE) for unit in dict.fromkeys(units) if unit is not None}
        images = rows["image"].copy()
        for row, (id, unit) in enumerate(zip(rows["id"], units, strict=True)):
            if unit is not None:
                image = stored[unit]["image"][stored[unit]["id"] == id]
                if not len(image):
                    raise ValueError(f"{self._path(unit)} lacks image {id}: {RESTORE}.")
                images[row] = as_float(image[0])
        return images

    def _program(self, unit: WorkUnit) -> Attacking:
        """The attack of a stage, sharing what an earlier one of the same structure has compiled."""
        attack = self.ensemble.stages[unit.of]
        structure = structure_of(attack)
        if structure not in self.attackings:
            self.attackings[structure] = Attacking(
                self.mesh, attack, self.objective, self.journal.workdir, self.programs,
                falls_at=float(self.ensemble.falls_at), judge_every=self.experiment.judge_every, finish=self.finish,
            )  # fmt: skip
        return self.attackings[structure]


def is_stage(unit: WorkUnit) -> bool:
    """Whether the unit is one attack's, and not the judgement's."""
    return unit.stage.startswith(STAGE)


def stage_record(outcome: StageOutcome, row: int) -> dict[str, Any]:
    """What is kept of one image under one attack."""
    known = outcome.attack.known
    assert known is not None
    id, broken, loss = int(outcome.batch.local["id"][row]), float(known.broken[row]), float(known.loss[row])
    record = {"id": id, "broken": broken, "loss": loss, "queries": int(known.n_queries[row])}
    return record | outcome.attack.iterates_of(row)
