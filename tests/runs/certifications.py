"""Synthetic certifications: what `ssni certify` leaves behind, without any network."""

from pathlib import Path

import numpy as np
from scipy.stats import norm

from ssni_jax.certify import certify
from ssni_jax.journal.records import RecordWriter
from ssni_jax.journal.workdir import open_workdir, write_run

SIGMAS = (0.25, 0.5, 1.0)
QUALITY = {"transport": 4.0, "distance": 0.2, "psnr": 20.0, "ssim": 0.7}


def certified_record(id: int = 0, **changes) -> dict:
    """An image certified right at radius 0.4."""
    votes = {"selection": [0, 0, 0, 100], "estimation": [10, 0, 0, 990], "looks": None, "n_invalid": 0}
    found = {"prediction": 3, "radius": 0.4, "predict": 3, "calls": 1.0, "seconds": 0.004}
    return {"id": id, "label": 3, "sigma": 0.5, "n_estimation": 1000, **votes, **found, **QUALITY} | changes


def certified_records(strength: float = 1.0, n: int = 40, n_draws: int = 1000, seed: int = 0, **changes) -> list[dict]:
    """Records of n images at every sigma; more noise reaches farther and errs more, a stronger method errs less."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(strength, 1.0, n)
    return [_drawn(rng, id, sigma, margins[id] - 0.5 * sigma, n_draws) | changes for sigma in SIGMAS for id in range(n)]


def _drawn(rng, id: int, sigma: float, margin: float, n_draws: int) -> dict:
    draw = lambda n: np.array([[0, n, 0, 0]]) + rng.binomial(n, norm.cdf(margin)) * np.array([[0, -1, 0, 1]])  # noqa: E731
    selection, estimation = draw(100), draw(n_draws)
    found = certify(selection, estimation, sigma=sigma)
    return certified_record(
        id, sigma=sigma, selection=selection[0].tolist(), estimation=estimation[0].tolist(), n_estimation=n_draws,
        prediction=int(found.label[0]), radius=float(found.radius[0]), transport=8.0 * sigma,
    )  # fmt: skip


def certified_workdir(path: Path, name: str, records: list[dict] | None = None, planned: int = 40) -> Path:
    """A workdir of `planned` images with these records."""
    records = certified_records() if records is None else records
    distance = {"kind": "Perceptual", "network": {"kind": "Pretrained", "path": "weights/lpips-squeeze"}, "size": 224}
    experiment = {"kind": "Certification", "name": name, "alpha": 0.001, "n_selection": 100, "n_estimation": 1000}
    workdir = open_workdir(path, experiment | {"sigmas": list(SIGMAS), "distance": distance})
    facts = {"kind": "certification", "defense": name, "sigmas": list(SIGMAS), "version": "0.1.0"}
    write_run(workdir, range(planned), f"ssni certify configs/x.py --workdir runs/{path.name}", **facts)
    with RecordWriter(workdir) as writer:
        writer.append(records)
    return workdir
