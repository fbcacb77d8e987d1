"""Compiling the next evaluation while one runs: a compiler keeps one core busy, and a sweep has many programs."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import jax

from ssni_jax.core.protocols import Predict
from ssni_jax.experiments import Evaluation
from ssni_jax.jobs.evaluate import make_job
from ssni_jax.jobs.programs import CompiledPrograms
from ssni_jax.journal.identity import precision_of
from ssni_jax.journal.units import Journal, has_units


@contextlib.contextmanager
def compiling_ahead(
    experiment: Evaluation, predict: Predict, attack: Any, workdir: Path, programs: CompiledPrograms
) -> Iterator[None]:
    """Compiles in a thread what the experiment needs; leaving waits for the thread.

    Nothing is compiled for an evaluation that has begun, or where several processes have to agree. An error is left for
    the evaluation itself to meet.
    """

    def compile() -> None:
        with contextlib.suppress(Exception), precision_of(experiment):
            make_job(experiment, predict, attack, Journal(workdir, ""), "", programs).prepare_all()

    if has_units(workdir) or jax.process_count() > 1:
        yield
        return
    thread = Thread(target=compile, name="compiling ahead", daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()
