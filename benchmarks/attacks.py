"""Gradients per second of every attack, driven as evaluations drive it, against the bare gradient of the same network.

    python benchmarks/attacks.py [--network cnn] [--images 128] [--steps 20] [--repeats 5] [--only pgd apgd-linf]

The network is a small CNN for CIFAR-10 (two 4x4 convolutions of stride 2, two linear layers) or a ResNet-20, with
random weights. Contenders take turns and medians over the turns are printed, as one JSON line. Per attack:
`per_second` counts its gradients, or the evaluations of an attack without gradients, of one image; `ratio_to_bare` is
the time that the attack's gradients and evaluations take by themselves, as jitted functions called in a row, over the
time of the attack. Where torch and pyautoattack are installed, APGD of AutoAttack on the same CNN takes its turn;
its ratio is to the bare gradient in torch.
"""

import argparse
import importlib.util
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.attacks import (
    L1,
    L2,
    Apgd,
    ApgdL1,
    Attack,
    DiffHammer,
    Fab,
    Linf,
    Margin,
    Objective,
    Pgd,
    Spsa,
    Square,
    StAdv,
    Targeted,
)
from ssni_jax.core.protocols import Purified
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import normal_like, sample_keys
from ssni_jax.dist import global_rows, make_mesh, whole
from ssni_jax.jobs.attack import Attacking
from ssni_jax.jobs.programs import CompiledPrograms
from ssni_jax.jobs.run import WorkUnit
from ssni_jax.networks import ResNetConfig
from ssni_jax.networks.network import make_network, make_rngs
from ssni_jax.purify import Defense, predictor

EPS = 8 / 255
SHAPES = {"conv1": (16, 3, 4, 4), "conv2": (32, 16, 4, 4), "linear1": (100, 2048), "linear2": (10, 100)}
RESNET20 = ResNetConfig("basic", (3, 3, 3), width=16, stem="plain", shortcut="pad", n_classes=10)
N_DRAWS = 10  # of DiffHammer


@pytree
class Cnn:
    """Two 4x4 convolutions of stride 2 and two linear layers, weights laid out as in torch."""

    weights: dict[str, jax.Array]

    def __call__(self, x: jax.Array) -> jax.Array:
        for name in ("conv1", "conv2"):
            layout = ("NHWC", "OIHW", "NHWC")
            pads = [(1, 1), (1, 1)]
            x = jax.nn.relu(jax.lax.conv_general_dilated(x, self.weights[name], (2, 2), pads, dimension_numbers=layout))
        x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        return jax.nn.relu(x @ self.weights["linear1"].T) @ self.weights["linear2"].T


@pytree
class AddsNoise:
    """The smallest randomized purifier."""

    std: float = 0.1

    def run(self, keys: Any, x: jax.Array, save: Any = None) -> Purified:
        zero = jnp.zeros(len(x))
        return Purified(x + self.std * normal_like(keys, x), zero, jnp.zeros((0, len(x))), zero, x)


class Contender(NamedTuple):
    """An attack on an objective, and how many gradients and evaluations of every image it makes."""

    attack: Attack
    objective: Objective
    n_gradients: int
    n_evaluations: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=("cnn", "resnet20"), default="cnn")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20, help="gradients per image of most attacks")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="names of the attacks to run; all without")
    print(json.dumps(compare(parser.parse_args())))


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Every contender compiled, then timed in turns."""
    mesh, load = make_mesh(), os.getloadavg()[0]
    classify = jax.device_put(network(options.network), whole(mesh))
    rows = images(mesh, classify, options.images)
    bare = {"gradient": bare_gradient(classify, rows), "evaluation": bare_evaluation(classify, rows)}
    chosen = {k: v for k, v in contenders(classify, options.steps).items() if k in (options.only or [k])}
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[str, Callable[[], Any]] = {
            name: run for name, function in bare.items() for run in [in_a_row(function, options.steps)]
        }
        runs |= {name: prepared(mesh, contender, rows, Path(folder)) for name, contender in chosen.items()}
        runs |= torch_runs(classify, rows, options) if options.network == "cnn" else {}
        seconds = in_turns(runs, options.repeats)
    counts = {name: (c.n_gradients, c.n_evaluations) for name, c in chosen.items()}
    return {
        "benchmark": "attacks",
        "network": options.network,
        "batch": options.images,
        "steps": options.steps,
        "repeats": options.repeats,
        "bare": {name: rounded(options.steps * options.images / statistics.median(seconds[name])) for name in bare},
        "attacks": {name: row(name, *counts[name], seconds, options) for name in chosen},
        **torch_rows(seconds, options),
        "devices": len(jax.devices()),
        "device": jax.devices()[0].device_kind,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(load, 2),
        "jax": jax.__version__,
    }


def contenders(classify: Any, n: int) -> dict[str, Contender]:
    """Attacks of about n gradients per image, or as many evaluations."""
    plain, margin = Objective(predictor(classify)), Objective(predictor(classify), Margin())
    noisy = Objective(Defense(AddsNoise(), classify), n_draws=N_DRAWS)
    n_hammer = max(n // N_DRAWS, 1)
    return {
        "pgd": Contender(Pgd(Linf(EPS), n_steps=n), plain, n, 0),
        "apgd-linf": Contender(Apgd(Linf(EPS), n_steps=n - 1), plain, n, 0),
        "apgd-l2": Contender(Apgd(L2(0.5), n_steps=n - 1), plain, n, 0),
        "apgd-l1": Contender(ApgdL1(L1(12.0), n_steps=n - 1), plain, n, 0),
        "fab": Contender(Fab(Linf(EPS), n_steps=n), margin, n, n),
        "square": Contender(Square(Linf(EPS), n_queries=n), margin, 0, n),
        "spsa": Contender(Spsa(Linf(EPS), n_steps=1, n_directions=n), margin, 0, 1 + 2 * n),
        "targeted-apgd": Contender(Targeted(Apgd(Linf(EPS), n_steps=n - 1)), plain, n, 1),
        "stadv": Contender(StAdv(n_steps=n), plain, n, 0),
        "diffhammer": Contender(DiffHammer(Linf(EPS), n_steps=n_hammer), noisy, n_hammer * N_DRAWS, n_hammer * N_DRAWS),
    }


def network(name: str) -> Any:
    """The classifier with random weights."""
    if name == "resnet20":
        return make_network(RESNET20.make(rngs=make_rngs(jax.random.key(0))))
    keys = jax.random.split(jax.random.key(0), len(SHAPES))
    return Cnn(
        {
            layer: jax.random.normal(key, shape) * np.sqrt(2 / np.prod(shape[1:]))
            for key, (layer, shape) in zip(keys, SHAPES.items(), strict=True)
        }
    )


def images(mesh: Any, classify: Any, n: int) -> dict[str, jax.Array]:
    """Uniform images, labelled as the network labels them, as a job holds a batch."""
    x = np.random.default_rng(0).random((n, 32, 32, 3), np.float32)
    y = np.asarray(jnp.argmax(jax.jit(lambda classify, x: classify(x))(classify, x), axis=1), np.int32)
    return global_rows(mesh, {"image": x, "label": y, "mask": np.ones(n, bool), "id": np.arange(n)})


def bare_gradient(classify: Any, rows: dict[str, jax.Array]) -> Callable[[], jax.Array]:
    """The gradient of the summed cross-entropy, compiled alone."""

    @jax.jit
    def gradient(classify: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        def total(x: jax.Array) -> jax.Array:
            return -jnp.sum(jnp.take_along_axis(jax.nn.log_softmax(classify(x)), y[:, None], axis=1))

        return jax.grad(total)(x)

    return lambda: gradient(classify, rows["image"], rows["label"])


def bare_evaluation(classify: Any, rows: dict[str, jax.Array]) -> Callable[[], jax.Array]:
    """The logits, compiled alone."""
    evaluate = jax.jit(lambda classify, x: classify(x))
    return lambda: evaluate(classify, rows["image"])


def in_a_row(function: Callable[[], jax.Array], n: int) -> Callable[[], jax.Array]:
    """n calls, each waited for, as an attack waits for the gradient before its next step."""

    def run() -> jax.Array:
        for _ in range(n):
            result = jax.block_until_ready(function())
        return result

    return run


def prepared(mesh: Any, contender: Contender, rows: dict[str, jax.Array], folder: Path) -> Callable[[], jax.Array]:
    """A run of an attack on one unit as evaluations make it, compiled."""
    attacking = Attacking(mesh, contender.attack, contender.objective, folder, CompiledPrograms())
    keys = sample_keys(jax.random.key(0), rows["id"])
    attacking.compile(keys, rows["image"], rows["label"])
    unit = WorkUnit("benchmark", (0,))
    return lambda: attacking.run(unit, keys, rows, lambda save: None).image


def in_turns(runs: dict[str, Callable[[], Any]], n_repeats: int) -> dict[str, list[float]]:
    """Seconds of every run in every turn, after one turn of warming up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(n_repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def row(
    name: str, n_gradients: int, n_evaluations: int, seconds: dict[str, list[float]], options: argparse.Namespace
) -> dict[str, Any]:
    """The numbers of one attack; each of its turns is compared with the bare calls of the same turn."""
    turns = zip(seconds["gradient"], seconds["evaluation"], seconds[name], strict=True)
    alone = [
        (n_gradients * gradient + n_evaluations * evaluation) / options.steps / attack
        for gradient, evaluation, attack in turns
    ]
    counted = n_gradients or n_evaluations
    return {
        "per_second": rounded(counted * options.images / statistics.median(seconds[name])),
        "counts": "gradients" if n_gradients else "evaluations",
        "ratio_to_bare": round(statistics.median(alone), 3),
    }


def torch_runs(classify: Cnn, rows: dict[str, jax.Array], options: argparse.Namespace) -> dict[str, Callable[[], Any]]:
    """AutoAttack's APGD and the bare gradient in torch, on the same weights and images; empty where not installed."""
    if not all(importlib.util.find_spec(name) for name in ("torch", "pyautoattack")):
        return {}
    import torch
    from pyautoattack.autopgd_base import APGDAttack

    weights = {name: torch.from_numpy(np.array(value)) for name, value in classify.weights.items()}

    def model(x: Any) -> Any:
        for name in ("conv1", "conv2"):
            x = torch.relu(torch.nn.functional.conv2d(x, weights[name], stride=2, padding=1))
        return torch.relu(x.flatten(1) @ weights["linear1"].T) @ weights["linear2"].T

    x = torch.from_numpy(np.array(rows["image"]).transpose(0, 3, 1, 2).copy())
    y = torch.from_numpy(np.array(rows["label"]).astype(np.int64))
    np.testing.assert_allclose(model(x).numpy(), classify(rows["image"]), atol=1e-3)
    settings = {"n_iter": options.steps - 1, "n_restarts": 1, "norm": "Linf", "eps": EPS, "seed": 0, "loss": "ce"}
    attack = APGDAttack(model, **settings, device="cpu", logger=logging.getLogger("autoattack"))

    def gradients() -> None:
        for _ in range(options.steps):
            point = x.clone().requires_grad_()
            torch.autograd.grad(torch.nn.functional.cross_entropy(model(point), y, reduction="sum"), point)

    return {"torch gradient": gradients, "autoattack apgd-ce": lambda: attack.perturb(x, y)}


def torch_rows(seconds: dict[str, list[float]], options: argparse.Namespace) -> dict[str, Any]:
    """The numbers of AutoAttack and torch, if they took part."""
    if "autoattack apgd-ce" not in seconds:
        return {}
    bare, attack = (seconds[name] for name in ("torch gradient", "autoattack apgd-ce"))
    n = options.steps * options.images
    ratios = [gradient / whole for gradient, whole in zip(bare, attack, strict=True)]
    return {
        "bare_torch": {"gradient": rounded(n / statistics.median(bare))},
        "autoattack": {
            "apgd-ce": {
                "per_second": rounded(n / statistics.median(attack)),
                "ratio_to_bare": round(statistics.median(ratios), 3),
            }
        },
        "torch": version("torch"),
        "pyautoattack": version("pyautoattack"),
    }


def rounded(value: float) -> int:
    return round(value)


if __name__ == "__main__":
    main()
