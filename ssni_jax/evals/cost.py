"""What a predictor costs, part by part, and what sample-specific noise adds to and saves from its fixed-level base."""

import platform
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ssni_jax import __version__
from ssni_jax.core.protocols import Measurable, Measured
from ssni_jax.core.types import Images, Keys
from ssni_jax.dist import by_rows
from ssni_jax.evals.prediction import make_predict, n_classified, n_votes


class Timed(NamedTuple):
    """Median seconds of a compiled function, seconds it took to compile, and what it returned."""

    seconds: float
    compile_seconds: float
    result: Any


class Load(NamedTuple):
    """What is timed: images and keys on the mesh, rows a network call, repeats."""

    mesh: Mesh
    keys: Keys
    x: Images
    n_slots: int
    repeats: int


def bench(predict: Any, load: Load) -> dict[str, Any]:
    """All numbers of one predictor; seconds and calls are per image."""
    n = len(load.x)
    whole = timed(make_predict(load.mesh, load.n_slots), predict, load.keys, load.x, repeats=load.repeats)
    parts = {name: timed(*part, repeats=load.repeats) for name, part in make_parts(predict, load, whole.result).items()}
    total = sum(part.seconds for part in parts.values())
    nfe = float(np.mean(whole.result.n_calls))
    flops = flops_per_image(predict, load, nfe)
    return {
        "images_per_second": n / whole.seconds,
        "seconds_per_image": whole.seconds / n,
        "nfe_per_image": nfe,
        "share": {name: part.seconds / total for name, part in parts.items()},
        "part_seconds_per_image": {name: part.seconds / n for name, part in parts.items()},
        "compile_seconds": whole.compile_seconds,
        "gflop_per_image": flops / 1e9,
        "achieved_gflop_per_second": flops * n / whole.seconds / 1e9,
    }


def make_parts(predict: Any, load: Load, trace: Any) -> dict[str, tuple[Any, ...]]:
    """Measuring, purifying and classifying as functions of their own, with their arguments."""
    bare, predict = predict.undefended(), predict.ragged(load.n_slots)
    parts: dict[str, tuple[Any, ...]] = {}
    if isinstance(predict, Measurable):
        measure = jax.jit(by_rows(load.mesh, _measure))
        measured = measure(predict, load.keys, load.x)
        solve = jax.jit(by_rows(load.mesh, _solve))
        parts["score_norm"] = (measure, predict, load.keys, load.x)
        parts["solve"] = (solve, predict, load.keys, load.x, measured)
    classify = jax.jit(by_rows(load.mesh, lambda predict, keys, x: predict(keys, x)))
    return parts | {"classifier": (classify, bare, load.keys, trace.image)}


def cost_report(predict: Any, load: Load) -> dict[str, Any]:
    """The predictor, its base at the fixed t_star, and the predictor with every sample paying for the longest grid."""
    report = {"defense": bench(predict, load), "base": bench(predict.fixed(), load)}
    scanned = jax.jit(by_rows(load.mesh, lambda predict, keys, x: predict.scanned()(keys, x)))
    all_steps = timed(scanned, predict, load.keys, load.x, repeats=load.repeats).seconds / len(load.x)
    mine, base = report["defense"], report["base"]
    return {
        **report,
        "score_norm_adds_seconds": mine["part_seconds_per_image"].get("score_norm", 0.0),
        "ragged_time_saves_seconds": all_steps - mine["seconds_per_image"],
        "seconds_per_image_all_steps": all_steps,
        "nfe_per_image_all_steps": nfe_of_all_steps(predict),
        "times_the_base": mine["seconds_per_image"] / base["seconds_per_image"],
    }


def nfe_of_all_steps(predict: Any) -> float:
    """Network calls per image when idle steps are paid for, the score norm included; a vote pays for each draw."""
    steps = [r.repeats * r.step.n_calls * r.grid.n_steps for purify in predict.purifiers for r in purify.rounds]
    measuring = [purify.deviation.n_calls for purify in predict.purifiers]
    return float(sum(steps) + sum(measuring)) * n_votes(predict)


def flops_per_image(predict: Any, load: Load, nfe: float) -> float:
    """Floating point operations XLA counts in one denoiser call, times the calls, plus one classifier call."""
    denoiser, classifier = network_flops(predict, load.x.shape[1:])
    return nfe * denoiser + n_votes(predict) * n_classified(predict) * classifier


def network_flops(predict: Any, image_shape: tuple[int, ...]) -> tuple[float, float]:
    """Operations of one call of the denoiser, and of the classifier, for one image; networks may be shapes.

    One call at a time, because XLA counts the body of a loop once however often it runs.
    """

    def of(purify: Any) -> float:
        return counted(lambda denoise, x: denoise(x, jnp.ones(1)), purify.denoise, _one(purify, image_shape))

    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
    one = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    return sum(map(of, denoising(predict)), 0.0), counted(
        lambda bare, keys, x: bare(keys, x), predict.undefended(), keys, one
    )


def denoising(predict: Any) -> list[Any]:
    """The purifiers of a predictor that have rounds, whose denoiser is called."""
    return [purify for purify in predict.purifiers if purify.rounds]


def _one(purify: Any, image_shape: tuple[int, ...]) -> jax.ShapeDtypeStruct:
    """One image of the size at which a purifier works."""
    side = getattr(purify, "size", None)
    shape = image_shape if side is None else (side, side, image_shape[-1])
    return jax.ShapeDtypeStruct((1, *shape), jnp.float32)


def counted(function: Callable[..., Any], *arguments: Any) -> float:
    """Operations of the program before a backend replaces parts of it by library calls that XLA cannot count."""
    analysis = jax.jit(function).lower(*arguments).cost_analysis()
    return float((analysis or {}).get("flops", 0.0))


def _measure(predict: Measurable, keys: Keys, x: Images) -> Measured:
    return predict.measure(keys, x)


def _solve(predict: Measurable, keys: Keys, x: Images, measured: Measured) -> Images:
    return predict.trace_at(keys, x, measured).image


def timed(function: Any, *arguments: Any, repeats: int) -> Timed:
    """Compiles, runs once to warm up, then takes the median of `repeats` runs."""
    start = time.perf_counter()
    program = function.lower(*arguments).compile()
    compile_seconds = time.perf_counter() - start
    result = jax.block_until_ready(program(*arguments))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        seconds.append(time.perf_counter() - start)
    return Timed(statistics.median(seconds), compile_seconds, result)


def machine() -> dict[str, Any]:
    """Where numbers were measured."""
    devices = jax.devices()
    return {
        "device": devices[0].device_kind,
        "n_devices": len(devices),
        "version": __version__,
        "jax": jax.__version__,
        "python": platform.python_version(),
    }
