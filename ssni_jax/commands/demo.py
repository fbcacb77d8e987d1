"""`ssni demo`."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import jax
from rich.console import Console
from rich.table import Table

from ssni_jax.attacks import Linf, Objective, Pgd
from ssni_jax.commands.certify import prepared
from ssni_jax.data import Digits, write_image
from ssni_jax.dist import make_mesh, whole
from ssni_jax.experiments import Certification, Evaluation
from ssni_jax.files.atomic import read_json
from ssni_jax.jobs.certify import certify
from ssni_jax.jobs.evaluate import evaluate
from ssni_jax.journal.formats import invalid, number, percent, percent_interval
from ssni_jax.journal.pictures import load_pictures, picture_ids
from ssni_jax.lifecycle import Stopper
from ssni_jax.presets import preset
from ssni_jax.purify import Surrogate
from ssni_jax.report.page import write_report
from ssni_jax.zoo import resolve

ROWS = {
    "0-undefended": ("Undefended", "digits-undefended"),
    "1-diffpure": ("DiffPure (fixed t*)", "digits-diffpure"),
    "2-ssni-l": ("DiffPure + SSNI-L", "digits-ssni-l"),
    "3-ssni-n": ("DiffPure + SSNI-N", "digits-ssni-n"),
    "4-consistency": ("Consistency purification", "digits-consistency"),
}
CERTIFIED = {
    "5-plain-smoothed": ("Plain classifier", "digits-undefended"),
    "6-one-step-smoothed": ("One-step denoising", "digits-one-step"),
    "7-consistency-smoothed": ("Consistency purification", "digits-consistency"),
}
BATCH = 100
N_DRAWS = 5  # fresh draws under which each adversarial image is judged
SIGMA, N_SMOOTHED = 0.25, 500


@dataclasses.dataclass(frozen=True)
class Demo:
    """Attack and purify real handwritten digits with the bundled weights: a table and a report with pictures.

    Each defence is attacked adaptively, through its own purification, by PGD with EOT; then three methods are certified
    by randomized smoothing. About five minutes on two cores; the same command resumes after a stop.
    """

    takes_overrides: ClassVar[bool] = False
    workdir: Path = Path("demo")
    """Where records, results.json, report.html and example images go."""
    n_images: int = 200
    """Test images, at most 400; a quarter of them are certified."""
    eps: float = 0.15
    """Radius of the L-infinity attack, in the [0, 1] range."""
    seed: int = 0

    def run(self, overrides: Sequence[str]) -> None:
        """Evaluates and certifies every row, then writes and prints everything."""
        start = time.monotonic()
        flags = f"--n-images {self.n_images} --eps {self.eps} --seed {self.seed}"
        command = f"ssni demo --workdir {self.workdir} {flags}"
        with Stopper(command) as stopper:
            for folder, (name, defense) in ROWS.items():
                experiment = self.experiment(name, defense)
                evaluate(experiment, resolve(experiment.defense, whole(make_mesh())), self.workdir / folder, stopper)
            for folder, (name, defense) in CERTIFIED.items():
                certification = self.certification(name, defense)
                certify(certification, prepared(certification), self.workdir / folder, stopper)
        write_examples(self.workdir)
        page = write_report(self.workdir)
        results = read_json(self.workdir / "results.json")
        console = Console(width=120)
        console.print(table(results["rows"]))
        console.print(certified_table(results["certified"]))
        print(f"{time.monotonic() - start:.0f} s. Open {page}")
        print(f"Next: ssni purify {self.workdir}/images {self.workdir}/purified")

    def experiment(self, name: str, defense: str) -> Evaluation:
        """One row of the table."""
        n_devices = jax.device_count()
        batch_size = -(-min(BATCH, self.n_images) // n_devices) * n_devices
        attack = Pgd(Linf(self.eps), step_size=self.eps / 5, n_steps=20)
        objective = Objective(n_draws=2, hold=True, differentiate=Surrogate(5))
        return Evaluation(
            name, preset(defense), Digits("test"), attack, objective, n_images=self.n_images, order_seed=None,
            n_draws=N_DRAWS, batch_size=batch_size, seed=self.seed,
        )  # fmt: skip

    def certification(self, name: str, defense: str) -> Certification:
        """One row of the second table: a quarter of the images, and as many draws as a few seconds allow."""
        n_images = max(1, self.n_images // 4)
        batch_size = BATCH * jax.device_count()
        return Certification(
            name, preset(defense), Digits("test"), sigmas=(SIGMA,), n_estimation=N_SMOOTHED, n_images=n_images,
            batch_size=batch_size, seed=self.seed,
        )  # fmt: skip


def write_examples(workdir: Path) -> None:
    """A few clean and adversarial images as files, for `ssni purify`."""
    row = workdir / "0-undefended"
    (workdir / "images").mkdir(exist_ok=True)
    for id in picture_ids(row):
        for stage in ("clean", "adversarial"):
            write_image(workdir / "images" / f"{id}-{stage}.png", load_pictures(row, id)[stage])


def table(rows: Sequence[dict]) -> Table:
    """The rows as people read them."""
    shown = Table(title="Real handwritten digits, test part; 95 % intervals")
    robust = ("one draw", f"vote of {N_DRAWS}", f"worst of {N_DRAWS}")
    for column in ("defence", "clean", *robust, "mean t", "NFE", "s/image"):
        shown.add_column(column, justify="left" if column == "defence" else "right")
    for row in rows:
        shares = [
            f"{percent(row[name])} {percent_interval(row[name + '_ci'])}{invalid(row, name)}"
            for name in ("clean", "robust")
        ]
        shares += [percent(row[name]) for name in ("robust_vote", "robust_worst")]
        costs = [number(row[name]) for name in ("mean_t", "nfe_per_image", "seconds_per_image")]
        shown.add_row(row["defense"], *shares, *costs)
    return shown


def certified_table(methods: Sequence[dict]) -> Table:
    """Certified accuracy at a few radii, as papers show it."""
    radii, alpha = methods[0]["radii"], methods[0]["alpha"]
    n = methods[0]["sigmas"][0]["n"]
    title = f"Certified accuracy by l2 radius: {n} images, {N_SMOOTHED} draws of noise {SIGMA}, alpha {alpha}"
    shown = Table(title=title)
    for column in ("method", *(f"{radius:g}" for radius in radii), "ACR", "NFE/draw", "ms/draw"):
        shown.add_column(column, justify="left" if column == "method" else "right")
    for method in methods:
        row = method["sigmas"][0]
        shares = [percent(share) for share in row["accuracy"]]
        costs = [number(row["acr"]), number(row["calls"]), number(1000 * row["seconds"])]
        shown.add_row(method["method"], *shares, *costs)
    return shown
