"""One certified method as found on disk: a record for each image and each smoothing noise."""

from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np

from ssni_jax.certify import certify_looks, predict
from ssni_jax.files.atomic import read_json
from ssni_jax.journal.records import merge_records, missing_ids

UNIT = ("id", "sigma")


class CertifiedRecord(TypedDict):
    """One image under one smoothing noise `sigma`, of images in [0, 1]; docs/certification.md says what each means."""

    id: int
    label: int
    sigma: float
    selection: list[int]  # votes for each class of the draws that choose the class
    estimation: list[int]  # votes of the draws that bound its probability
    n_invalid: int  # draws of both kinds with a NaN or infinite logit, which vote for nobody
    n_estimation: int  # estimation draws made, invalid ones among them
    looks: list[list[int]] | None  # [draws, votes for the chosen class] at each look of early stopping
    prediction: int  # the certified class; -1 abstains
    radius: float  # L2, in the [0, 1] range; 0 where it abstains
    predict: int  # PREDICT's class on the estimation votes; -1 abstains
    calls: float  # network calls of one draw
    seconds: float  # of one draw, amortised over its batch, without compilation
    transport: float | None  # mean L2 distance of purified draws to the clean image, in the [0, 1] range
    distance: float | None  # mean of the experiment's distance
    psnr: float | None
    ssim: float | None


class Certified(NamedTuple):
    """One certified method; `missing` are planned images that lack a record at one sigma at least."""

    path: Path
    name: str
    experiment: dict[str, Any]
    run: dict[str, Any]
    records: list[CertifiedRecord]
    missing: list[int]


def load_certified(workdir: Path) -> Certified:
    """Everything one workdir of `ssni certify` holds; raises when it has not begun, or its records contradict."""
    for name in ("experiment.json", "run.json"):
        if not (workdir / name).exists():
            raise FileNotFoundError(f"{workdir} has no {name}; pass the --workdir of a begun `ssni certify`.")
    experiment, run = read_json(workdir / "experiment.json"), read_json(workdir / "run.json")
    records = merge_records(workdir, UNIT)
    name = str(run.get("defense", workdir.resolve().name))
    return Certified(workdir, name, experiment, run, records, unfinished(run["ids"], run["sigmas"], records))


def unfinished(ids: list[int], sigmas: list[float], records: list[CertifiedRecord]) -> list[int]:
    """Planned images without a record at one of the sigmas, in order."""
    lacking = [missing_ids(ids, [each for each in records if each["sigma"] == sigma]) for sigma in sigmas]
    return sorted(set().union(*lacking))


def certificate(record: CertifiedRecord, alpha: float, n_looks: int = 1) -> tuple[int, float]:
    """Class and radius of an image by its votes, at any alpha; -1 and 0 where it abstains, as with an invalid draw.

    `n_looks` is how many the run had planned, among which it divided alpha: one more than an AlphaSpending lists.
    """
    if record["n_invalid"]:
        return -1, 0.0
    chosen = int(np.argmax(record["selection"]))
    looks = record["looks"] or [[record["n_estimation"], record["estimation"][chosen]]]
    n, votes = np.array(looks + [[0, 0]] * (n_looks - len(looks))).T
    done = certify_looks(np.array([chosen]), votes[None], n[None], sigma=record["sigma"], alpha=alpha)
    return int(done.label[0]), float(done.radius[0])


def predicted(record: CertifiedRecord, alpha: float, n_looks: int = 1) -> int:
    """PREDICT's class by the estimation votes, -1 where it abstains, as with an invalid draw.

    Each look could have been the last, so each has its share of alpha.
    """
    return -1 if record["n_invalid"] else int(predict(np.array([record["estimation"]]), alpha=alpha / n_looks)[0])
