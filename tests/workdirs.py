"""Synthetic workdirs: what the commands leave behind, without any network."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from ssni_jax.certify import certify
from ssni_jax.journal.identity import FORMAT, digest_of
from ssni_jax.journal.pictures import COLUMNS, save_pictures
from ssni_jax.journal.units import Journal
from ssni_jax.journal.workdir import open_workdir, write_run

SIGMAS = (0.25, 0.5, 1.0)
ATTACK = {"kind": "Pgd", "threat": {"kind": "Linf", "eps": 0.03}, "n_steps": 20}
FACTS = {"kind": "evaluation", "version": "0.1.0", "seed": 0, "n_votes": 1, "n_draws": 0}


def identity(kind: str = "Evaluation", **fields) -> dict:
    """The identity of an experiment with these fields."""
    content = {"format": FORMAT, "kind": f"ssni_jax.experiments.{kind}", **fields}
    content |= {"networks": {"predict": "5dea"}, "data": {"images": "d9e0"}} | fields
    return content | {"hash": digest_of(content)}


def opened(path: Path, experiment: dict) -> Journal:
    """The journal of a workdir of that identity."""
    open_workdir(path, experiment)
    return Journal(path, experiment["hash"])


def clean_record(id: int, **changes) -> dict:
    """A record of a defence that is right on a clean image of class 3, without an attack."""
    clean = {"label": 3, "clean_label": 3, "clean_draws": [3], "clean_t": [0.05], "clean_norm": 10.0}
    return {"id": id, **clean, "clean_nfe": 50.0, "seconds": 0.25} | changes


def attacked_record(id: int, **changes) -> dict:
    """A record of a defence that is right on everything, with one draw."""
    attacked = {"draws": [3], "answers": [3], "fixed_key_label": 3, "undefended_label": 8}
    attacked |= {"adversarial_t": [0.09], "adversarial_norm": 14.0, "adversarial_nfe": 90.0}
    return clean_record(id, **attacked, linf=8 / 255, l2=0.5, attack_loss=1.0, attack_queries=20) | changes


def random_records(kind: str, n: int, seed: int = 0) -> list[dict]:
    """Records of a classifier without purification, of a fixed level, or of a level that follows the score norm."""
    rng = np.random.default_rng([seed, len(kind)])
    odds = {"undefended": (0.98, 0.02), "diffpure": (0.85, 0.55), "ssni-n": (0.93, 0.58)}[kind]
    return [_random_record(rng, kind, id, *odds) for id in range(n)]


def _random_record(rng, kind: str, id: int, clean_odds: float, robust_odds: float) -> dict:
    label, other = rng.choice(10, 2, replace=False).tolist()
    norms = rng.normal((300, 360), 25).tolist() if kind == "ssni-n" else [None, None]
    times = {"undefended": [None, None], "diffpure": [[0.1], [0.1]]}.get(kind) or [[level(norm)] for norm in norms]
    draws = np.where(rng.random(1 if kind == "undefended" else 4) < robust_odds, label, other).tolist()
    clean = label if rng.random() < clean_odds else other
    nfe = [1000 * t[0] if t else 0.0 for t in times]
    return attacked_record(
        id, label=label, clean_label=clean, clean_draws=[clean], draws=draws, answers=draws, fixed_key_label=draws[0],
        clean_t=times[0], adversarial_t=times[1], clean_norm=norms[0], adversarial_norm=norms[1],
        clean_nfe=nfe[0], adversarial_nfe=nfe[1], undefended_label=other, seconds=0.01 * nfe[0],
    )  # fmt: skip


def level(norm: float) -> float:
    """An SSNI-N curve."""
    return float(0.12 / (1 + np.exp(-(norm - 320) / 20)))


def evaluated_workdir(
    path: Path, name: str, records: list[dict], planned: int | None = None, seed: int = 0, **facts
) -> Path:
    """A workdir of `planned` images with these records, in units of eight with the curve of a three-step attack."""
    defense = {"kind": "ssni_jax.purify.Defense", "name": name}
    journal = opened(path, identity(defense=defense, eps=0.03, seed=seed))
    is_attacked = any("draws" in record for record in records)
    facts = FACTS | {"defense": name, "n_draws": max((len(r.get("draws", [])) for r in records), default=0)} | facts
    command = f"ssni evaluate configs/{name}_digits.py --workdir runs/{name}"
    write_run(path, range(len(records) if planned is None else planned), command, **facts)
    for start in range(0, len(records), 8):
        block = records[start : start + 8]
        curve = {"loss": [0.1, 0.2, 0.4], "broken": [0.0, 0.25, start / 64]} if is_attacked else None
        if "iterates" in block[0]:
            curve |= {"judged": list(range(1, 1 + len(block[0]["iterates"])))}
        journal.write(f"evaluated-{block[0]['id']:08d}", {"stage": "evaluated", "curve": curve}, block)
    return path


def random_workdir(path: Path, kind: str, n: int = 24, recorded: int | None = None, side: int = 8, channels: int = 1):
    """A workdir of `n` planned images of which `recorded` have records, two of them with pictures."""
    grid = np.linspace(200, 450, 50)
    curve = {"norm": grid, "t": [level(value) for value in grid]}
    facts = {"attack": ATTACK, "objective": {"kind": "Objective", "n_draws": 2}, "gradient": "surrogate of 5 steps"}
    facts |= {"level_curves": [curve]} if kind == "ssni-n" else {}
    evaluated_workdir(path, kind, random_records(kind, n)[:recorded], n, **facts)
    rng = np.random.default_rng(0)
    for id in range(2):
        save_pictures(path, id, **{name: rng.random((side, side, channels)) for name in COLUMNS})
    return path


def trained_workdir(path: Path, steps=(100, 200, 300), exported: bool = False) -> Path:
    """The directory of an `ssni train` of 2000 steps, with two pictures of one kind and one of another."""
    open_workdir(path, identity("Training", name="small", n_steps=2000, batch_size=32))
    lines = [{"step": n, "seconds": n / 10, "loss": 100 / n, "gradient_norm": 1.0} for n in steps]
    (path / "checkpoints").mkdir()
    (path / "checkpoints" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (path / "pictures").mkdir()
    for name, content in (("000500-denoised", "denoised 500"), ("001000-denoised", "denoised 1000")):
        (path / "pictures" / f"step-{name}.png").write_bytes(content.encode())
    (path / "pictures" / "step-000500-samples.png").write_bytes(b"samples 500")
    if exported:
        (path / "small.safetensors").touch()
    return path


def certified_record(id: int = 0, **changes) -> dict:
    """An image certified right at radius 0.4."""
    votes = {"selection": [0, 0, 0, 100], "estimation": [10, 0, 0, 990], "looks": None, "n_invalid": 0}
    result = {"prediction": 3, "radius": 0.4, "predict": 3, "calls": 1.0, "seconds": 0.004}
    quality = {"transport": 4.0, "distance": 0.2, "psnr": 20.0, "ssim": 0.7}
    return {"id": id, "label": 3, "sigma": 0.5, "n_estimation": 1000, **votes, **result, **quality} | changes


def certified_records(strength: float = 1.0, n: int = 40, n_draws: int = 1000, seed: int = 0, **changes) -> list[dict]:
    """Records of n images at every sigma; more noise reaches farther and errs more, a stronger method errs less."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(strength, 1.0, n)
    records = [_drawn(rng, range(n), sigma, margins - 0.5 * sigma, n_draws) for sigma in SIGMAS]
    return [record | changes for level in records for record in level]


def _drawn(rng, ids, sigma: float, margins: np.ndarray, n_draws: int) -> list[dict]:
    """Votes for class 3 with the probability of each margin, else for class 1, and the certificates they give."""
    right = rng.binomial([[100], [n_draws]], norm.cdf(margins))
    votes = np.zeros((2, len(ids), 4), int)
    votes[..., 3], votes[..., 1] = right, np.array([[100], [n_draws]]) - right
    result = certify(votes[0], votes[1], sigma=sigma)
    return [
        certified_record(
            id, sigma=sigma, selection=votes[0, id].tolist(), estimation=votes[1, id].tolist(), n_estimation=n_draws,
            prediction=int(result.label[id]), radius=float(result.radius[id]), transport=8.0 * sigma,
        )
        for id in ids
    ]  # fmt: skip


def certified_workdir(path: Path, name: str, records: list[dict] | None = None, planned: int = 40) -> Path:
    """A workdir of `planned` images with these records."""
    network = {"kind": "ssni_jax.zoo.Pretrained", "path": "weights/lpips-squeeze"}
    distance = {"kind": "ssni_jax.networks.Perceptual", "network": network, "size": 224}
    shared = {"alpha": 0.001, "n_selection": 100, "n_estimation": 1000}
    experiment = identity("Certification", distance=distance, defense={"name": name}, **shared)
    facts = {"kind": "certification", "defense": name, "sigmas": list(SIGMAS), "version": "0.1.0"}
    journal = opened(path, experiment)
    write_run(path, range(planned), f"ssni certify configs/x.py --workdir runs/{path.name}", **facts)
    journal.write("certified-00000000", {"stage": "certified"}, certified_records() if records is None else records)
    return path


def calibrated_workdir(path: Path, norms: dict[int, float], planned: int) -> Path:
    """A workdir of `planned` images of which these have a norm."""
    journal = opened(path, identity("ReferenceNorms", deviation={"kind": "ssni_jax.purify.ScoreNorm"}))
    write_run(path, range(planned), "ssni calibrate configs/x.py", kind="calibration", defense="norms")
    journal.write("measured-00000000", {"stage": "measured"}, [{"id": id, "norm": norm} for id, norm in norms.items()])
    return path


@pytest.fixture
def workdir(tmp_path) -> Callable[..., Path]:
    """workdir(kind, n=…, recorded=…) makes runs/<kind>."""
    return lambda kind, **options: random_workdir(tmp_path / "runs" / kind, kind, **options)
