"""What is kept of one certified image."""

from typing import Any

from ssni_jax.evals.smoothing import Quality
from ssni_jax.evals.votes import Votes
from ssni_jax.experiments.certification import Certification
from ssni_jax.journal.certification import CertifiedRecord, certificate, predicted


def as_record(
    experiment: Certification, unit: tuple[int, int, float], votes: Votes, quality: Quality, seconds: float
) -> CertifiedRecord:
    """The record of one image (id, label, sigma) from its row of the votes and of the measures."""
    id, label, sigma = unit
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
