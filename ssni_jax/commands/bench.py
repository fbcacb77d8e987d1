"""`ssni bench`."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import tyro

from ssni_jax.commands.config import read_experiment
from ssni_jax.core.rng import root_key, sample_keys
from ssni_jax.data import take
from ssni_jax.dist import global_rows, make_mesh, whole
from ssni_jax.evals.cost import Load, cost_report, machine
from ssni_jax.experiments import Evaluation
from ssni_jax.experiments.automatic import number_of
from ssni_jax.experiments.fit import fitted
from ssni_jax.experiments.selection import check_positive
from ssni_jax.files.atomic import write_bytes
from ssni_jax.jobs.automatic import settled_here
from ssni_jax.zoo import resolve


@dataclasses.dataclass(frozen=True)
class Bench:
    """Time the defence of a config file, part by part, and report what sample-specific noise costs.

    The defence is compared with its base: the same rounds at the fixed t*, nothing measured. SSNI pays for measuring
    the score norm of every image, and saves the steps that an image of small t(x) does not need; the report says how
    much of each, in seconds and in network calls (NFE) per image. Times are medians of repeated runs of compiled
    programs. The parts are timed on their own, so they need not add up to the whole.
    """

    takes_overrides: ClassVar[bool] = False
    config: tyro.conf.Positional[Path]
    """A .py file that builds `experiment`, an Evaluation."""
    n_images: int = 64
    """Images in the batch, over all devices."""
    repeats: int = 3
    """Timed runs of each program, after one to warm up."""
    seed: int = 0
    out: Path | None = None
    """A file for the JSON line, which is printed in any case."""

    def run(self, overrides: Sequence[str]) -> None:
        """Prints the report, then the JSON line."""
        check_positive(self, "n_images", "repeats")
        experiment = settled_here(fitted(read_experiment(self.config, Evaluation)))
        mesh = make_mesh()
        n = min(self.n_images, len(experiment.images)) // mesh.shape["data"] * mesh.shape["data"]
        rows = global_rows(mesh, take(experiment.images, range(n)))
        keys = sample_keys(root_key(self.seed), rows["id"])
        print(f"compiling and timing {n} images, {self.repeats} times each", flush=True)
        load = Load(mesh, keys, rows["image"], number_of(experiment.n_slots), self.repeats)
        costs = cost_report(resolve(experiment.defense, whole(mesh)), load)
        report = {"benchmark": "defense", "name": experiment.name, "images": n, **costs, **machine()}
        print(table(report))
        line = json.dumps(rounded(report))
        print(line)
        if self.out is not None:
            write_bytes(self.out, (line + "\n").encode())


def table(report: dict[str, Any]) -> str:
    """The cost report of SSNI, then the defence part by part."""
    mine, base = report["defense"], report["base"]
    rows = [
        ("fixed t*, the base", base["seconds_per_image"], base["nfe_per_image"]),
        ("t(x), every step paid for", report["seconds_per_image_all_steps"], report["nfe_per_image_all_steps"]),
        (f"{report['name']}, ragged", mine["seconds_per_image"], mine["nfe_per_image"]),
    ]
    first = base["seconds_per_image"]
    lines = [f"{'cost per image':34}  {'ms':>8}  {'of base':>8}  {'NFE':>6}"]
    lines += [f"{name:34}  {1e3 * s:8.2f}  {s / first:8.2f}  {nfe:6.1f}" for name, s, nfe in rows]
    adds, saves = report["score_norm_adds_seconds"], report["ragged_time_saves_seconds"]
    lines += [f"the score norm adds {1e3 * adds:.2f} ms per image, ragged time saves {1e3 * saves:.2f} ms", ""]
    shares = "  ".join(f"{name.replace('_', ' ')} {100 * share:.0f} %" for name, share in mine["share"].items())
    lines += [
        f"{mine['images_per_second']:.1f} images/s; {shares}",
        f"{mine['achieved_gflop_per_second']:.2f} GFLOP/s achieved, {mine['gflop_per_image']:.3f} GFLOP per image; "
        f"compiled in {mine['compile_seconds']:.1f} s",
        f"{report['n_devices']} x {report['device']}, ssni_jax {report['version']}, JAX {report['jax']}",
    ]
    return "\n".join(lines)


def rounded(value: Any) -> Any:
    """Four significant digits, all through a report."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value
