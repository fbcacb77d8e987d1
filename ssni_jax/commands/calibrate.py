"""`ssni calibrate`."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import jax
import numpy as np
import tyro

from ssni_jax.convert import stored_file
from ssni_jax.core.fingerprint import fingerprint
from ssni_jax.data import Digits, ImageFolder, Npz, TfdsDirectory, evaluation_batches
from ssni_jax.dist import make_mesh, whole
from ssni_jax.evals.calibrate import reference_norms
from ssni_jax.files.atomic import write_bytes
from ssni_jax.purify import Calibration, ScoreNorm
from ssni_jax.schedules import VP
from ssni_jax.zoo import Pretrained

N_PUBLISHED = 5000


@dataclasses.dataclass(frozen=True)
class Calibrate:
    """Measure the score norms of clean images, which SSNI compares each input with.

    Use clean images the score network has not seen: on images it has memorised norms are too small. The papers take
    5,000 training images; --images published does that.
    """

    takes_overrides: ClassVar[bool] = False
    network: tyro.conf.Positional[str]
    """A bundled score network, or the path of a stored one without .safetensors."""
    source: Digits | ImageFolder | Npz | TfdsDirectory = Digits("calibration")
    """The images."""
    images: Literal["unseen", "published"] = "unseen"
    """All of the source, taken to be unseen; or the papers' choice, 5,000 of the source at random (RandomState(0)),
    for a source of training images."""
    n_levels: int = 20
    """Levels of the expected perturbation score: 20 for CIFAR-10, 50 for ImageNet in the paper."""
    batch_size: int = 64
    seed: int = 0
    out: Path | None = None
    """The file to write; beside the network if not given."""

    def run(self, overrides: Sequence[str]) -> None:
        """Writes the calibration and prints its mean and range."""
        stored = Pretrained(self.network)
        calibration = calibrate(self, stored)
        path = self.out or stored_file(stored.path, ".calibration.json")
        if jax.process_index() == 0:
            write_bytes(path, (json.dumps(calibration.as_json(), indent=1) + "\n").encode())
            print(
                f"{len(calibration.norms)} norms: mean {calibration.mean:.2f}, min {calibration.low:.2f}, "
                f"max {calibration.high:.2f}\nWrote {path}"
            )


def calibrate(options: Calibrate, stored: Pretrained) -> Calibration:
    """The calibration of a stored network with the deviation that `ssni` will use."""
    mesh = make_mesh()
    denoise = stored.load(whole(mesh))
    batch_size = -(-options.batch_size // mesh.shape["data"]) * mesh.shape["data"]
    ids = chosen_ids(len(options.source), options.images)
    batches = evaluation_batches(options.source, batch_size, ids.tolist(), jax.process_index(), jax.process_count())
    norms = reference_norms(mesh, ScoreNorm(denoise, VP(), options.n_levels), batches, options.seed)
    return Calibration(
        norms, fingerprint(stored), options.source.fingerprint, options.images, options.n_levels, options.seed
    )


def chosen_ids(n: int, images: str) -> np.ndarray:
    """All ids, or the published random choice of 5,000."""
    if images == "unseen":
        return np.arange(n)
    return np.sort(np.random.RandomState(0).permutation(n)[:N_PUBLISHED])
