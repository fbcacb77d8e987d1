"""Synthetic workdirs: what `ssni evaluate` leaves behind, without any network."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ssni_jax.journal.pictures import save_pictures
from ssni_jax.journal.records import RecordWriter
from ssni_jax.journal.workdir import open_workdir, write_run


def make_record(id: int, **changes) -> dict:
    """A record of a defence that is right on everything, with one draw."""
    right = {"label": 3, "clean_prediction": 3, "adversarial_prediction": 3, "adversarial_draws": [3]}
    measured = {"clean_t": [0.05], "clean_norm": 10.0, "adversarial_t": [0.09], "adversarial_norm": 14.0}
    cost = {"clean_nfe": 50.0, "adversarial_nfe": 90.0, "seconds": 0.25, "linf": 8 / 255, "l2": 0.5}
    return {"id": id, **right, **measured, **cost, "undefended_prediction": 8, "valid": True} | changes


def make_records(kind: str, n: int, seed: int = 0) -> list[dict]:
    """Records of an undefended classifier, a fixed level, or a level that follows the score norm."""
    rng = np.random.default_rng([seed, len(kind)])
    odds = {"undefended": (0.98, 0.02), "diffpure": (0.85, 0.55), "ssni-n": (0.93, 0.58)}[kind]
    return [_random_record(rng, kind, id, *odds) for id in range(n)]


def _random_record(rng, kind: str, id: int, clean_odds: float, robust_odds: float) -> dict:
    label, other = rng.choice(10, 2, replace=False).tolist()
    norms = rng.normal((300, 360), 25).tolist() if kind == "ssni-n" else [None, None]
    times = {"undefended": [None, None], "diffpure": [[0.1], [0.1]]}.get(kind) or [[level(norm)] for norm in norms]
    guess = lambda odds: label if rng.random() < odds else other  # noqa: E731
    draws = [guess(robust_odds) for _ in range(1 if kind == "undefended" else 4)]
    nfe = [1000 * t[0] if t else 0.0 for t in times]
    return make_record(
        id, label=label, clean_prediction=guess(clean_odds), adversarial_draws=draws, adversarial_prediction=draws[0],
        clean_t=times[0], adversarial_t=times[1], clean_norm=norms[0], adversarial_norm=norms[1],
        clean_nfe=nfe[0], adversarial_nfe=nfe[1], undefended_prediction=other, seconds=0.01 * nfe[0],
    )  # fmt: skip


def level(norm: float) -> float:
    """An SSNI-N curve."""
    return float(0.12 / (1 + np.exp(-(norm - 320) / 20)))


def make_workdir(path: Path, kind: str, n: int = 24, done: int | None = None, side: int = 8, channels: int = 1) -> Path:
    """A workdir of `n` planned images of which `done` have records, two of them with pictures."""
    workdir = open_workdir(path, {"name": kind, "attack": {"eps": 0.03, "steps": 20}, "n_images": n})
    norm = np.linspace(200, 450, 50)
    curve = {"level_curve": {"norm": norm, "t": [level(v) for v in norm]}} if kind == "ssni-n" else {}
    facts = {"defense": kind, "version": "0.1.0", "seeds": {"attack": 0, "defence": 1}}
    facts |= {"attack": {"kind": "Pgd", "eps": 0.03, "n_steps": 20}, "gradient": "surrogate of 5 steps"}
    command = f"ssni evaluate configs/{kind}_digits.py --workdir runs/{kind}"
    write_run(workdir, range(n), command, **facts, **curve)
    with RecordWriter(workdir) as writer:
        writer.append(make_records(kind, n)[:done])
    rng = np.random.default_rng(0)
    for id in range(2):
        names = ("clean", "purified_clean", "adversarial", "noised", "purified")
        save_pictures(workdir, id, **{name: rng.random((side, side, channels)) for name in names})
    return workdir


@pytest.fixture
def record() -> Callable[..., dict]:
    return make_record


@pytest.fixture
def workdir(tmp_path) -> Callable[..., Path]:
    """workdir(kind, n=…, done=…) makes runs/<kind>."""
    return lambda kind, **options: make_workdir(tmp_path / "runs" / kind, kind, **options)


def make_training(path: Path, steps=(100, 200, 300), exported: bool = False) -> Path:
    """The directory of an `ssni train` of 2000 steps, with two pictures of one kind and one of another."""
    workdir = open_workdir(path, {"kind": "Training", "name": "small", "n_steps": 2000, "batch_size": 32})
    (workdir / "checkpoints").mkdir()
    (workdir / "pictures").mkdir()
    lines = [{"step": n, "seconds": n / 10, "loss": 100 / n, "gradient_norm": 1.0} for n in steps]
    (workdir / "checkpoints" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, content in (("000500-denoised", "denoised 500"), ("001000-denoised", "denoised 1000")):
        (workdir / "pictures" / f"step-{name}.png").write_bytes(content.encode())
    (workdir / "pictures" / "step-000500-samples.png").write_bytes(b"samples 500")
    if exported:
        (workdir / "small.safetensors").touch()
    return workdir


@pytest.fixture
def training() -> Callable[..., Path]:
    """training(path, steps=…, exported=…) makes the directory of a training."""
    return make_training
