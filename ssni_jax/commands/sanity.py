"""`ssni sanity`, which `ssni evaluate --sanity` runs too."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from ssni_jax.commands.config import overridden, read_chosen
from ssni_jax.core.rng import root_key, sample_keys
from ssni_jax.data import take
from ssni_jax.data.loader import process_slice
from ssni_jax.dist import global_rows, make_mesh, whole
from ssni_jax.evals.sanity import checks
from ssni_jax.evals.suspect import Check, Suspect, probe_of
from ssni_jax.experiments import Evaluation
from ssni_jax.experiments.automatic import number_of
from ssni_jax.experiments.fit import fitted
from ssni_jax.files.checked import write_sealed
from ssni_jax.jobs.automatic import settled_here
from ssni_jax.journal.identity import precision_of
from ssni_jax.zoo import resolve

N_IMAGES = 16
COLOURS = {"pass": "green", "warn": "yellow", "fail": "red"}


@dataclasses.dataclass(frozen=True)
class Sanity:
    """Look for signs that the attack of a config file is weaker than its defence is strong.

    An attack that receives wrong gradients, or none, reports robustness that is not there. This command attacks a few
    images in many ways and compares what must be ordered: many steps beat one, gradients beat random search, a larger
    radius lowers the accuracy, an unbounded one leaves nothing. It also compares the gradient of the whole pipeline
    with finite differences, and attacks what chooses the noise level. A comparison fails where a paired test on the
    same images has p below 0.01. "pass" is no proof: with few images only gross errors show. Exit code 1 if a check
    failed, 0 otherwise.

    Further flags override fields of the config, as for `ssni evaluate`; docs/evaluation.md explains every row.
    """

    takes_overrides: ClassVar[bool] = True
    config: tyro.conf.Positional[Path]
    """A .py file that builds `experiment`, an Evaluation."""
    n_images: int = N_IMAGES
    """Images to attack; rounded up to the number of devices."""
    n_queries: int = 50
    """Queries of the attack by random search."""
    out: Path | None = None
    """A .json file for the table and the numbers behind it."""

    def run(self, overrides: Sequence[str]) -> None:
        """Prints a line per check as it is finished, then the table."""
        program = f"ssni sanity {self.config}"
        built, rest = read_chosen(self.config, Evaluation, overrides, program)
        experiment = fitted(overridden(built, rest, program))
        predict = resolve(experiment.defense, whole(make_mesh()))
        rows = examined(experiment, predict, self.n_images, self.n_queries, self.out)
        flags = " ".join(["--workdir", "RUNS", *overrides])
        has_failed = any(row.verdict == "fail" for row in rows)
        if not jax.process_index():
            print(f"Next: {'repair what failed' if has_failed else f'ssni evaluate {self.config} {flags}'}")
        if has_failed:
            raise SystemExit(1)


def examined(
    experiment: Evaluation, predict: Any, n_images: int = N_IMAGES, n_queries: int = 50, out: Path | None = None
) -> list[Check]:
    """The checks of an experiment whose predictor has its networks in place, printed and, with `out`, written."""
    suspect, begun = suspect_of(experiment, predict, n_images, n_queries), time.monotonic()
    is_first = not jax.process_index()
    if is_first:
        print(f"{experiment.name}: checking the attack on {len(suspect.y)} images", flush=True)
    results = []
    with precision_of(experiment):
        for row in checks(suspect):
            results.append(row)
            if is_first:
                print(f"{experiment.name}: {time.monotonic() - begun:4.0f} s  {row.verdict}  {row.name}", flush=True)
    if is_first:
        Console().print(table(experiment.name, results))
    if is_first and out is not None:
        seconds = round(time.monotonic() - begun, 1)
        facts = {"name": experiment.name, "n_images": len(suspect.y), "seed": experiment.seed, "seconds": seconds}
        write_sealed(out, facts | {"checks": [row._asdict() for row in results]})
    return results


def suspect_of(experiment: Evaluation, predict: Any, n_images: int, n_queries: int) -> Suspect:
    """The predictor, objective and attack of an experiment, and its first images."""
    mesh, experiment = make_mesh(), settled_here(experiment)
    n_devices = mesh.shape["data"]
    n = min(-(-n_images // n_devices), len(experiment.ids) // n_devices) * n_devices
    if n < 1:
        raise ValueError(f"There must be an image per device, got {n_images} images and {n_devices} devices.")
    mine = process_slice(n, jax.process_index(), jax.process_count())
    batch = global_rows(mesh, take(experiment.images, np.asarray(experiment.ids[:n])[mine]))
    keys = sample_keys(root_key(experiment.seed), batch["id"])
    attack = resolve(experiment.attack, whole(mesh))
    return Suspect(
        predict, experiment.objective, probe_of(attack), keys, batch["image"], batch["label"], mesh,
        number_of(experiment.n_slots), n_queries,
    )  # fmt: skip


def table(name: str, rows: Sequence[Check]) -> Table:
    """The checks as people read them."""
    shown = Table(title=f"Sanity of the attack on {name}")
    for column in ("check", "verdict", "what was seen"):
        shown.add_column(column)
    for row in rows:
        shown.add_row(row.name, f"[{COLOURS[row.verdict]}]{row.verdict}[/]", row.sentence)
    return shown
