"""What a defence costs, part by part, and what sample-specific noise adds to and saves from its fixed-level base."""

import dataclasses
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
from ssni_jax.core.types import Images, Keys
from ssni_jax.dist import by_rows
from ssni_jax.evals.prediction import make_predict
from ssni_jax.purify import Constant, Defense, NoDeviation, Ragged, Scan


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


def bench(defense: Defense, load: Load) -> dict[str, Any]:
    """All numbers of one defence; seconds and calls are an image's."""
    n = len(load.x)
    whole = timed(make_predict(load.mesh, load.n_slots), defense, load.keys, load.x, repeats=load.repeats)
    parts = {name: timed(*part, repeats=load.repeats) for name, part in make_parts(defense, load, whole.result).items()}
    total = sum(part.seconds for part in parts.values())
    nfe = float(np.mean(whole.result.n_calls))
    flops = flops_an_image(defense, load, nfe)
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


def make_parts(defense: Defense, load: Load, done: Any) -> dict[str, tuple[Any, ...]]:
    """Score norm, solve and classifier as functions of their own, with their arguments."""
    purify = dataclasses.replace(defense.purify, walk=Ragged(load.n_slots))
    over = lambda function: jax.jit(by_rows(load.mesh, function))  # noqa: E731
    measure = over(lambda purify, keys, x: purify.measure(keys, x))
    solve = over(lambda purify, keys, x, deviation: purify.run_from(keys, x, deviation).image)
    classify = over(lambda classify, x: classify(x))
    return {
        "score_norm": (measure, purify, load.keys, load.x),
        "solve": (solve, purify, load.keys, load.x, done.deviation),
        "classifier": (classify, defense.classify, done.image),
    }


def cost_report(defense: Defense, load: Load) -> dict[str, Any]:
    """The defence, its base at the fixed t_star, and the defence with every sample paying for the longest grid."""
    found = {"defense": bench(defense, load), "base": bench(fixed(defense), load)}
    masked = timed(jax.jit(by_rows(load.mesh, masked_walk)), defense.purify, load.keys, load.x, repeats=load.repeats)
    n, mine, base = len(load.x), found["defense"], found["base"]
    in_parts = mine["part_seconds_per_image"]
    all_steps = masked.seconds / n + in_parts["classifier"]
    return {
        **found,
        "score_norm_adds_seconds": in_parts["score_norm"],
        "ragged_time_saves_seconds": all_steps - mine["seconds_per_image"],
        "seconds_per_image_all_steps": all_steps,
        "nfe_per_image_all_steps": nfe_of_all_steps(defense),
        "times_the_base": mine["seconds_per_image"] / base["seconds_per_image"],
    }


def fixed(defense: Defense) -> Defense:
    """The same rounds at their fixed t_star, nothing measured: the base that a sample-specific level was put over."""
    rounds = tuple(dataclasses.replace(each, level=Constant(t_star(each.level))) for each in defense.purify.rounds)
    return dataclasses.replace(
        defense, purify=dataclasses.replace(defense.purify, rounds=rounds, deviation=NoDeviation())
    )


def t_star(level: Any) -> Any:
    """The fixed level inside a reweighted one, however it is wrapped."""
    while not hasattr(level, "t_star"):
        if not hasattr(level, "level"):
            raise ValueError(f"{type(level).__name__} has no t_star, so it has no fixed-level base to compare with.")
        level = level.level
    return level.t_star


def masked_walk(purify: Any, keys: Keys, x: Images) -> Images:
    """The purified images when every sample takes every step of the grid, idle or not."""
    return dataclasses.replace(purify, walk=Scan())(keys, x)


def nfe_of_all_steps(defense: Defense) -> float:
    """Network calls an image when idle steps are paid for, the score norm included."""
    steps = [each.repeats * each.step.n_calls * (len(each.grid(jnp.zeros(1))) - 1) for each in defense.purify.rounds]
    return float(sum(steps) + defense.purify.deviation.n_calls)


def flops_an_image(defense: Defense, load: Load, nfe: float) -> float:
    """Floating point operations XLA counts in one denoiser call, times the calls, plus one classifier call.

    One call at a time, because XLA counts the body of a loop once however often it runs.
    """
    one = load.x[:1]
    call = counted(lambda denoise, x: denoise(x, jnp.ones(1)), defense.purify.denoise, one)
    return nfe * call + counted(lambda classify, x: classify(x), defense.classify, one)


def counted(function: Callable[..., Any], *arguments: Any) -> float:
    """Operations of the program before a backend replaces parts of it by library calls that XLA cannot count."""
    analysis = jax.jit(function).lower(*arguments).cost_analysis()
    return float((analysis or {}).get("flops", 0.0))


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
