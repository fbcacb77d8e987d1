"""The units of an evaluation: attack a block of images, judge it under fresh keys, record it."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from ssni_jax.core.describe import describe
from ssni_jax.core.protocols import Predict, Trace
from ssni_jax.core.rng import fold, root_key, sample_keys
from ssni_jax.core.types import Keys
from ssni_jax.data import take
from ssni_jax.data.loader import padded, process_slice
from ssni_jax.dist import global_rows, local_rows, make_mesh
from ssni_jax.evals.prediction import make_predict, n_votes
from ssni_jax.experiments import Evaluation
from ssni_jax.experiments.automatic import number_of
from ssni_jax.files.atomic import write_arrays
from ssni_jax.jobs.attack import Answer, Attacking, AttackRun, header_of
from ssni_jax.jobs.kept_images import as_stored, in_eight_bits, room_for
from ssni_jax.jobs.level_curves import level_curves
from ssni_jax.jobs.outcome import Batch, Outcome, as_record, judgement, save_stages
from ssni_jax.jobs.programs import CompiledPrograms, ProgramSource
from ssni_jax.jobs.run import Pause, WorkUnit
from ssni_jax.jobs.sharing import ALL
from ssni_jax.jobs.work_unit import missing_blocks
from ssni_jax.journal.evaluation import EVALUATED, MORE_DRAWS, merged, saved_images
from ssni_jax.journal.formats import accuracies
from ssni_jax.journal.records import answers_of
from ssni_jax.journal.rows import summarise
from ssni_jax.journal.units import Journal
from ssni_jax.journal.workdir import run_facts, write_run

CLEAN, ATTACK, FRESH, ITERATE = range(4)


class EvaluationJob:
    """The units of one evaluation: blocks of images, and further draws of images that have some.

    `predict` and `attack` are the experiment's with their networks in place.
    """

    noun = "images"
    share = ALL  # of the images; `evaluate` sets it

    def __init__(
        self,
        experiment: Evaluation,
        predict: Predict,
        attack: Any,
        journal: Journal,
        command: str,
        programs: ProgramSource | None = None,
        mesh: Mesh | None = None,
    ):
        self.experiment, self.predict, self.journal, self.command = experiment, predict, journal, command
        self.name, self.mesh, self.programs = experiment.name, mesh or make_mesh(), programs or CompiledPrograms()
        self.root, self.votes = root_key(experiment.seed), n_votes(predict)
        self.n_draws = 0 if not self.is_attacked else -(-experiment.n_draws // self.votes) * self.votes
        self.undefended = undefended_of(predict)
        self.classify: Any = None
        self.classify_bare: Any = None
        self.attacking = self._attacking(attack)

    @property
    def is_attacked(self) -> bool:
        """Whether there are adversarial images to judge."""
        return self.experiment.attack is not None or self.experiment.adversarial is not None

    @property
    def ids(self) -> list[int]:
        """The planned images of this share."""
        return self.share.ids(self.experiment.ids, number_of(self.experiment.batch_size))

    @property
    def n_rows(self) -> int:
        """Rows of a batch: the batch size or all images, rounded up to the devices."""
        n_devices = self.mesh.shape["data"]
        return -(-min(number_of(self.experiment.batch_size), len(self.experiment.ids)) // n_devices) * n_devices

    @property
    def finish(self) -> Callable[[Any, Any], Any] | None:
        """What is done to the images of an attack before they are judged."""
        return in_eight_bits if self.experiment.keep_images == "uint8" else None

    @property
    def n_copies(self) -> int:
        """How many adversarial images of each image are kept at most."""
        return int(self.is_attacked)

    def room(self) -> str | None:
        """What the adversarial images that are still to be made take on disk; refuses where the disk has less."""
        n_left = len(set(self.experiment.ids) - set(merged(self.journal.units())))
        needed = n_left * self.n_copies
        return room_for(self.experiment, n_left, self.n_copies, self.journal.workdir) if needed else None

    def plan(self) -> list[WorkUnit]:
        records, ids = merged(self.journal.units()), self.ids
        units = [WorkUnit(EVALUATED, block) for block in missing_blocks(ids, set(records), self.n_rows)]
        for n in sorted({len(record.get("draws", [])) for record in records.values()}):
            if n < self.n_draws:
                have = {id for id in ids if id not in records or len(records[id].get("draws", [])) != n}
                blocks = missing_blocks(ids, have, self.n_rows)
                units += [WorkUnit(f"{MORE_DRAWS}{n}", block, n) for block in blocks]
        return units

    def load(self, unit: WorkUnit) -> dict[str, np.ndarray]:
        block = padded({"id": np.asarray(unit.ids, np.int64)}, self.n_rows)
        mine = process_slice(self.n_rows, jax.process_index(), jax.process_count())
        ids, mask = block["id"][mine], block["mask"][mine]
        rows = {**take(self.experiment.images, ids), "mask": mask}
        if unit.of is not None:
            rows["adversarial"] = saved_images(self.journal.workdir, ids)
        elif self.experiment.adversarial is not None:
            rows["adversarial"] = take(self.experiment.adversarial, ids)["image"]
        return rows

    def prepare(self, unit: WorkUnit, loaded: dict[str, np.ndarray]) -> None:
        if self.classify is not None:  # another stage has compiled it, for the same shapes
            return
        batch = self._batch(loaded)
        self.compile(batch.keys, batch.rows["image"], batch.rows["label"])

    def compile(self, keys: Any, x: Any, y: Any) -> None:
        """Compiles all programs for rows like these, which may be shapes."""
        n_slots = number_of(self.experiment.n_slots)
        classify, name = make_predict(self.mesh, n_slots), ("predict", n_slots)
        self.classify = self.programs.compiled(name, classify, self.predict, keys, x)
        if self.is_attacked and self.undefended is not None:
            self.classify_bare = self.programs.compiled(name, classify, self.undefended, keys, x)
        if self.attacking is not None:
            self.attacking.compile(keys, x, y)

    def compile_all(self, keys: Any, x: Any, y: Any) -> None:
        """Compiles the programs of every stage for rows like these, which may be shapes."""
        self.compile(keys, x, y)

    def prepare_all(self) -> None:
        """Compiles all that a job without any record is going to need, while another one runs."""
        units = self.plan()
        loaded = self.load(units[0])
        for unit in self.first_of_each_stage(units[0]):
            self.prepare(unit, loaded)

    def first_of_each_stage(self, first: WorkUnit) -> list[WorkUnit]:
        """Units of the images of the first one, of every stage that has programs of its own."""
        return [first]

    def work(self, unit: WorkUnit, loaded: dict[str, np.ndarray], pause: Pause) -> Outcome:
        batch = self._batch(loaded)
        if unit.of is not None:
            judged = self._judged(batch, batch.rows["adversarial"], unit.of // self.votes)
            return Outcome(batch, None, 0.0, None, judged, None, None)
        start = time.perf_counter()
        clean = jax.block_until_ready(self.classify(self.predict, fold(batch.keys, CLEAN), batch.rows["image"]))
        seconds = (time.perf_counter() - start) / self.n_rows
        if not self.is_attacked:
            return Outcome(batch, on_host(clean), seconds, None, (), None, None)
        attack_keys = fold(batch.keys, ATTACK)
        if self.attacking is None:
            attack, fixed = AttackRun.given(batch.rows["adversarial"]), None
        else:
            answer = self._answer(fold(batch.keys, ITERATE))
            attack = self.attacking.run(unit, attack_keys, batch.rows, pause, answer)
            fixed = self.classify(self.predict, self.attacking.last_keys(attack_keys), attack.image)
        adversarial = attack.image
        bare = None if self.undefended is None else self.classify_bare(self.undefended, batch.keys, adversarial)
        judged = self._judged(batch, adversarial, 0)
        return Outcome(batch, on_host(clean), seconds, attack.on_host(), judged, on_host(fixed), on_host(bare))

    def write(self, unit: WorkUnit, outcome: Outcome) -> None:
        local = outcome.batch.local
        mine = np.flatnonzero(local["mask"]).tolist()
        if not mine:
            return
        ids = local["id"][mine]
        name = WorkUnit(unit.stage, tuple(ids.tolist())).name
        if unit.of is not None:
            records = [{"id": int(local["id"][row]), "first": unit.of, **judgement(outcome, row)} for row in mine]
            self.journal.write(name, {"stage": MORE_DRAWS}, records)
            return
        if outcome.attack is not None:
            folder = self.journal.workdir / "adversarial"
            images = as_stored(outcome.attack.image[mine], self.experiment.keep_images)
            write_arrays(folder / f"{name}.npz", {"id": ids, "image": images})
        save_stages(self.experiment, self.journal.workdir, outcome, mine)
        records = self.records(outcome, mine)
        self.journal.write(name, {"stage": EVALUATED, **header_of(outcome.attack)}, records)
        if self.attacking is not None:
            self.attacking.forget(unit)

    def records(self, outcome: Outcome, rows: Sequence[int]) -> list[dict[str, Any]]:
        """What is kept of these rows of a judged block."""
        return [as_record(outcome, row) for row in rows]

    def forecast(self, units: Sequence[WorkUnit]) -> str | None:
        return None

    def summary(self) -> str:
        records = merged(self.journal.units())
        return accuracies(summarise("", list(records.values())))

    def write_facts(self, **more: Any) -> None:
        """run.json, on process 0."""
        experiment = self.experiment
        facts = {**run_facts("evaluation", experiment), "n_draws": self.n_draws, "n_votes": self.votes, **more}
        if experiment.attack is not None:
            facts |= {"attack": describe(experiment.attack), "objective": describe(experiment.objective)}
            facts |= {"gradient": experiment.objective.gradient_name}
        write_run(self.journal.workdir, experiment.ids, self.command, **facts)

    def facts_at_end(self) -> dict[str, Any]:
        """What run.json holds of a finished run beside what it held at the start."""
        return {"level_curves": level_curves(self.predict, self.journal.units())}

    def _attacking(self, attack: Any) -> Attacking | None:
        """What makes the adversarial images in the unit that judges them; None where they exist before."""
        if attack is None:
            return None
        objective, folder = self.experiment.objective.of(self.predict), self.journal.workdir
        stops = {"judge_every": self.experiment.judge_every, "finish": self.finish}
        return Attacking(self.mesh, attack, objective, folder, self.programs, **stops)

    def _answer(self, keys: Keys) -> Answer:
        """The predictor's own answer on an iterate, under the fold of these keys with the number of its iteration."""
        return lambda i, image: answers_of(on_host(self.classify(self.predict, fold(keys, i), image)))

    def _batch(self, loaded: dict[str, np.ndarray]) -> Batch:
        rows = global_rows(self.mesh, loaded)
        return Batch(rows, sample_keys(self.root, rows["id"]), loaded)

    def _judged(self, batch: Batch, adversarial: jax.Array, first: int) -> list[Trace]:
        """Predictions under keys that the attack has never seen, as many as give the planned draws."""
        fresh = fold(batch.keys, FRESH)
        numbers = range(first, self.n_draws // self.votes)
        return [on_host(self.classify(self.predict, fold(fresh, number), adversarial)) for number in numbers]


def undefended_of(predict: Predict) -> Any:
    """The predictor's classifier without purification; None where a predictor has none to offer."""
    bare = getattr(predict, "undefended", None)
    return None if bare is None else bare()


def on_host(trace: Trace | None) -> Any:
    """This process's rows of a trace as numpy arrays."""
    return None if trace is None else jax.tree.map(local_rows, trace)
