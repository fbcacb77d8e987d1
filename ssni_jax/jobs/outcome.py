"""What one block of an evaluation showed, and what is kept of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ssni_jax.core.protocols import Trace
from ssni_jax.core.types import Keys
from ssni_jax.experiments import Evaluation
from ssni_jax.jobs.attack import AttackRun
from ssni_jax.journal.pictures import save_pictures
from ssni_jax.journal.records import adversarial_fields, clean_fields, labels_of, size_of


class Batch(NamedTuple):
    """One block on the mesh, and this process's rows of it on the host."""

    rows: Mapping[str, jax.Array]
    keys: Keys
    local: Mapping[str, np.ndarray]


class Outcome(NamedTuple):
    """What one block showed, this process's rows on the host; without an attack `attack` and what follows are None."""

    batch: Batch
    clean: Any  # Trace; None where only draws were added
    seconds: float
    attack: AttackRun | None
    judged: Sequence[Trace]
    fixed_key: Trace | None
    undefended: Trace | None


def as_record(outcome: Outcome, row: int) -> dict[str, Any]:
    """What is kept of one image, of a row of this process."""
    local, attack = outcome.batch.local, outcome.attack
    record = {"id": int(local["id"][row]), "label": int(local["label"][row]), "seconds": outcome.seconds}
    record |= clean_fields(outcome.clean, row)
    if attack is None:
        return record
    record |= judgement(outcome, row) | adversarial_fields(outcome.judged[0], row)
    if outcome.fixed_key is not None:
        record["fixed_key_label"] = labels_of(outcome.fixed_key, row)[1]
    if outcome.undefended is not None:
        record["undefended_label"] = labels_of(outcome.undefended, row)[1]
    return record | attack.fields(row) | size_of(attack.image[row] - local["image"][row])


def save_stages(experiment: Evaluation, workdir: Path, outcome: Outcome, mine: list[int]) -> None:
    """The stages of the first images of the experiment, for the report."""
    first = set(experiment.ids[: experiment.n_pictures])
    for row in mine:
        id = int(outcome.batch.local["id"][row])
        if id in first:
            stages = {"clean": outcome.batch.local["image"][row], "purified_clean": outcome.clean.image[row]}
            if outcome.attack is not None:
                stages |= {"adversarial": outcome.attack.image[row], "noised": outcome.judged[0].noised[row]}
                stages |= {"purified": outcome.judged[0].image[row]}
            save_pictures(workdir, id, **stages)


def judgement(outcome: Outcome, row: int) -> dict[str, list[int]]:
    """The label of each fresh draw, and the predictor's answer for each fresh key."""
    labels, answers = zip(*(labels_of(trace, row) for trace in outcome.judged), strict=True)
    return {"draws": [label for drawn in labels for label in drawn], "answers": list(answers)}
