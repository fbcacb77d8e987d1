"""One certification as it is on disk: one record per image and smoothing noise."""

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssni_jax.certify import certify_looks, predict
from ssni_jax.evals.smoothing import Quality
from ssni_jax.evals.votes import Votes
from ssni_jax.experiments import Certification
from ssni_jax.journal.certified_rows import summarise_certified
from ssni_jax.journal.formats import percent, percent_interval
from ssni_jax.journal.records import CertifiedRecord
from ssni_jax.journal.stored import CertificationRun
from ssni_jax.journal.units import Journal, StoredUnit
from ssni_jax.journal.workdir import read_run

N_SHOWN = 4  # radii on the line of status


class Certified(NamedTuple):
    """One certified method; `missing` lists the planned images that lack a record at one or more of the sigmas."""

    path: Path
    name: str
    experiment: dict[str, Any]
    run: dict[str, Any]
    records: list[CertifiedRecord]
    missing: list[int]


def load_certified(workdir: Path) -> Certified:
    """Everything that `ssni certify` has written into one workdir; what is no longer planned is left out."""
    experiment, run = read_run(workdir, CertificationRun)
    records = merged_certificates(Journal(workdir, experiment["hash"]).units())
    ids, sigmas = set(run["ids"]), set(run["sigmas"])
    planned = [record for record in records if record["id"] in ids and record["sigma"] in sigmas]
    missing = unfinished(ids, sigmas, planned)
    return Certified(workdir, str(run["defense"]), experiment, run, planned, missing)


def merged_certificates(units: Iterable[StoredUnit]) -> list[CertifiedRecord]:
    """All records in the order of image and sigma; a certificate of two jobs counts once."""
    records: dict[tuple[int, float], Any] = {}
    for unit in units:
        for record in unit.records:
            records.setdefault((record["id"], record["sigma"]), record)
    return [records[key] for key in sorted(records)]


def unfinished(ids: Iterable[int], sigmas: Iterable[float], records: Sequence[CertifiedRecord]) -> list[int]:
    """Planned images without a record at one of the sigmas, in order."""
    recorded = {(record["id"], record["sigma"]) for record in records}
    return sorted({id for id, sigma in product(ids, sigmas) if (id, sigma) not in recorded})


def certified_so_far(name: str, records: Sequence[CertifiedRecord]) -> str:
    """Certified accuracy at the first radii, each at its best sigma."""
    best = summarise_certified(name, records)["envelope"][:N_SHOWN]
    shares = [f"{at['radius']:g}: {percent(at['accuracy'])} {percent_interval(at['ci'])}" for at in best]
    return "certified at radius " + "  ".join(shares)


def certificate(record: CertifiedRecord, alpha: float, n_looks: int = 1) -> tuple[int, float]:
    """Class and radius of an image by its votes at a given alpha; -1 and 0 where it abstains or a draw was invalid.

    `n_looks` is the number of looks that the run had planned and divided alpha among: one more than an AlphaSpending
    lists.
    """
    if record["n_invalid"]:
        return -1, 0.0
    chosen = int(np.argmax(record["selection"]))
    looks = record["looks"] or [[record["n_estimation"], record["estimation"][chosen]]]
    n, votes = np.array(looks + [[0, 0]] * (n_looks - len(looks))).T
    result = certify_looks(np.array([chosen]), votes[None], n[None], sigma=record["sigma"], alpha=alpha)
    return int(result.label[0]), float(result.radius[0])


def predicted(record: CertifiedRecord, alpha: float, n_looks: int = 1) -> int:
    """PREDICT's class by the estimation votes; -1 where it abstains or a draw was invalid.

    The estimation may have ended at any look, so every look has its share of alpha.
    """
    return -1 if record["n_invalid"] else int(predict(np.array([record["estimation"]]), alpha=alpha / n_looks)[0])


def as_record(
    experiment: Certification, image: tuple[int, int, float], votes: Votes, quality: Quality, seconds: float
) -> CertifiedRecord:
    """The record of one image (id, label, sigma) from its row of the votes and of the measures."""
    id, label, sigma = image
    n_looks = votes.looks.shape[0]
    taken = [[int(n), int(k)] for n, k in zip(votes.looks, votes.chosen, strict=True) if n]
    counts: Any = {
        "id": id,
        "label": label,
        "sigma": sigma,
        "selection": votes.selection.tolist(),
        "estimation": votes.estimation.tolist(),
        "n_invalid": int(votes.n_invalid),
        "n_estimation": taken[-1][0],
        "looks": taken if n_looks > 1 else None,
    }
    prediction, radius = certificate(counts, experiment.alpha, n_looks)
    return counts | {
        "prediction": prediction,
        "radius": radius,
        "predict": predicted(counts, experiment.alpha, n_looks),
        "calls": float(quality.n_calls),
        "seconds": seconds,
        "transport": float(quality.transport),
        "distance": float(quality.distance),
        "psnr": float(quality.psnr),
        "ssim": float(quality.ssim),
    }
