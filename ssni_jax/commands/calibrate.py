"""`ssni calibrate`."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import jax
import tyro

from ssni_jax.commands.config import overridden, read_experiment
from ssni_jax.commands.sharing import Sharing
from ssni_jax.convert import stored_file
from ssni_jax.data import Digits, ImageFolder, Npz, Parquet, TfdsDirectory
from ssni_jax.dist import make_mesh, whole
from ssni_jax.experiments import ReferenceNorms
from ssni_jax.experiments.fit import fitted_norms
from ssni_jax.files import write_bytes
from ssni_jax.jobs.calibrate import calibrate
from ssni_jax.journal.status import status
from ssni_jax.lifecycle import Stopper
from ssni_jax.purify import ScoreNorm
from ssni_jax.schedules import VP
from ssni_jax.zoo import Pretrained, resolve, stored_denoisers

N_PUBLISHED = 5000


@dataclasses.dataclass(frozen=True)
class Calibrate(Sharing):
    """Measure the norms of clean images, which SSNI compares each input with; the same command resumes after a stop.

    Name a stored score network for the published score norm, or a config file for any other deviation: the norms of one
    deviation do not fit another. Use clean images the score network has not seen: on images it has memorised norms are
    too small. The papers take 5,000 training images; --images published does that.
    """

    takes_overrides: ClassVar[bool] = True
    STORED: ClassVar = ("workdir",)
    network: tyro.conf.Positional[str]
    """A bundled score network, the path of a stored one without .safetensors, or a .py file that builds `experiment`, a
    ReferenceNorms; further flags override its fields."""
    source: Digits | ImageFolder | Npz | TfdsDirectory | Parquet = Digits("calibration")
    """The images, for a network."""
    images: Literal["unseen", "published"] = "unseen"
    """All of the source, taken to be unseen; or the papers' choice, 5,000 of the source at random (RandomState(0)),
    for a source of training images."""
    n_levels: int = 20
    """Levels of the expected perturbation score: 20 for CIFAR-10, 50 for ImageNet in the paper."""
    batch_size: int = 64
    seed: int = 0
    out: Path | None = None
    """The file to write; beside the network if not given."""
    workdir: Path | None = None
    """Directory of the norms measured so far; beside the file to write, and removed at the end, if not given."""

    def run(self, overrides: Sequence[str]) -> None:
        """Writes the calibration and prints its mean and range."""
        if self.share.flags and self.workdir is None:
            raise ValueError(f"{self.share.flags} shares a directory of norms: name it with --workdir.")
        built, path = self.experiment(overrides)
        experiment = fitted_norms(built)
        workdir = self.workdir or path.with_name(f".{path.name}.journal")
        command = self.with_flags(["ssni", "calibrate", self.network, *self.flags(), *overrides])
        with Stopper(command) as stopper:
            with stopper.nothing_to_lose():
                deviation = resolve(experiment.deviation, whole(make_mesh()))
            calibration = calibrate(experiment, deviation, workdir, stopper, self.share)
        if calibration is None:
            print(f"{status(workdir)}\nThe process that measures the last images writes {path}.")
        elif jax.process_index() == 0:
            write_bytes(path, (json.dumps(calibration.as_json(), indent=1) + "\n").encode())
            if self.workdir is None:
                shutil.rmtree(workdir)
            print(
                f"{len(calibration.norms)} norms: mean {calibration.mean:.2f}, min {calibration.low:.2f}, "
                f"max {calibration.high:.2f}\nWrote {path}"
            )

    def experiment(self, overrides: Sequence[str]) -> tuple[ReferenceNorms, Path]:
        """What is measured, and the file to write."""
        if self.network.endswith(".py"):
            built = read_experiment(Path(self.network), ReferenceNorms)
            experiment = overridden(built, overrides, f"ssni calibrate {self.network}")
            stored = stored_denoisers(experiment.deviation)
            if self.out is None and not stored:
                raise ValueError("the config's network is not a stored one: say where to write with --out FILE.")
            return experiment, self.out or stored_file(stored[0].path, ".calibration.json")
        if overrides:
            raise ValueError(f"unknown flag {overrides[0]}: `ssni calibrate --help` lists the flags for a network.")
        stored_network = Pretrained(self.network)
        n_images = min(N_PUBLISHED, len(self.source)) if self.images == "published" else None
        experiment = ReferenceNorms(
            f"norms of {self.network}", ScoreNorm(stored_network, VP(), self.n_levels), self.source, n_images=n_images,
            order_seed=None if n_images is None else 0, batch_size=self.batch_size, seed=self.seed,
        )  # fmt: skip
        return experiment, self.out or stored_file(stored_network.path, ".calibration.json")

    def flags(self) -> list[str]:
        """The flags that resume the run."""
        given = {"out": self.out, "workdir": self.workdir}
        if not self.network.endswith(".py"):
            given |= {
                "images": self.images,
                "n-levels": self.n_levels,
                "batch-size": self.batch_size,
                "seed": self.seed,
            }
        return [part for name, value in given.items() if value is not None for part in (f"--{name}", str(value))]
