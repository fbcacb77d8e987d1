"""Where the outcome of a batch goes: pictures, adversarial images, and a record an image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ssni_jax.dist import local_rows
from ssni_jax.evals.robust import Outcome
from ssni_jax.experiments.experiment import Evaluation
from ssni_jax.files.atomic import write_arrays
from ssni_jax.journal.pictures import save_pictures
from ssni_jax.journal.records import Record, RecordWriter


class Sink(NamedTuple):
    """Where results go, which batches are wanted ({batch number: its ids}), and which images are already on disk."""

    workdir: Path
    writer: RecordWriter
    todo: dict[int, list[int]]
    done: set[int]


def save(
    experiment: Evaluation, sink: Sink, number: int, batch: Mapping[str, np.ndarray], outcome: Outcome, seconds: float
) -> None:
    """Pictures and adversarial images first, records last: an image with a record has everything else."""
    local = jax.tree.map(local_rows, outcome)
    mine = np.flatnonzero(batch["mask"])
    for row in mine[batch["id"][mine] < experiment.n_pictures].tolist():
        judged = local.judged[0]
        stages = {"clean": batch["image"], "purified_clean": local.clean.image, "adversarial": local.adversarial}
        stages |= {"noised": judged.noised, "purified": judged.image}
        save_pictures(sink.workdir, int(batch["id"][row]), **{name: images[row] for name, images in stages.items()})
    folder = sink.workdir / f"adversarial-{jax.process_index()}"
    write_arrays(folder / f"batch-{number}.npz", {"id": batch["id"][mine], "image": local.adversarial[mine]})
    records = [as_record(batch, local, row, seconds / experiment.batch_size) for row in mine.tolist()]
    sink.writer.append([record for record in records if record["id"] not in sink.done])


def as_record(batch: Mapping[str, np.ndarray], outcome: Outcome, row: int, seconds: float) -> Record:
    """What is kept of one image."""
    clean, judged = outcome.clean, outcome.judged
    change = outcome.adversarial[row] - batch["image"][row]
    logits = [clean.logits[row], outcome.undefended[row], *(each.logits[row] for each in judged)]
    return Record(
        id=int(batch["id"][row]),
        label=int(batch["label"][row]),
        clean_prediction=int(np.argmax(clean.logits[row])),
        clean_t=clean.t[row].tolist() or None,
        clean_norm=measured(clean.deviation[row]),
        clean_nfe=float(clean.n_calls[row]),
        adversarial_prediction=int(np.argmax(judged[0].logits[row])),
        adversarial_draws=[int(np.argmax(each.logits[row])) for each in judged],
        adversarial_t=judged[0].t[row].tolist() or None,
        adversarial_norm=measured(judged[0].deviation[row]),
        adversarial_nfe=float(judged[0].n_calls[row]),
        undefended_prediction=int(np.argmax(outcome.undefended[row])),
        linf=float(np.max(np.abs(change))),
        l2=float(np.linalg.norm(change)),
        seconds=seconds,
        valid=bool(np.all(np.isfinite(logits))),
    )


def measured(deviation: Any) -> float | None:
    """A norm is positive; zero stands for a method that measures none."""
    return float(deviation) if deviation != 0 else None
