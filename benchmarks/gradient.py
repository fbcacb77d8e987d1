"""What an exact gradient through a long solve costs, in time and in memory, for the bundled score network.

    python benchmarks/gradient.py [--steps 50 100 200] [--images 32]

Prints one JSON line a number of steps. Time is in units of one forward solve of the same length; memory is what XLA
plans for temporary arrays: with `jax.checkpoint` around each step (as `solve` does), in segments of about sqrt(steps)
(as `Nested` does), and with everything stored. `states_a_step` is the growth of memory from the line before, in states
(the batch of images) a step.
"""

import argparse
import json
import statistics
import time

import jax
import jax.numpy as jnp

from ssni_jax.core.rng import sample_keys
from ssni_jax.evals.autodiff import plain
from ssni_jax.purify import Nested, Scan
from ssni_jax.schedules import VP, Uniform
from ssni_jax.solvers import Ancestral
from ssni_jax.zoo import Pretrained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    before = None
    for n_steps in options.steps:
        before = measure(n_steps, options.images, options.repeats, before)
        print(
            json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in before.items()})
        )


def measure(n_steps: int, n_images: int, repeats: int, before: dict | None) -> dict:
    """Times and bytes of one number of steps; with those of another, the growth between them."""
    denoise = Pretrained("digits-score").load()
    keys = sample_keys(jax.random.key(0), jnp.arange(n_images))
    x = jax.random.normal(jax.random.key(1), (n_images, 8, 8, 1))
    levels = Uniform(n_steps)(VP(), jnp.full(n_images, 0.1))
    run = lambda walk: lambda denoise, x: walk(keys, lambda rows: denoise, Ancestral(), x, levels)  # noqa: E731
    total = lambda walk: lambda denoise, x: jnp.sum(jnp.square(run(walk)(denoise, x)))  # noqa: E731
    gradient = lambda function: jax.grad(function, argnums=1)  # noqa: E731
    functions = {
        "forward": run(Scan()),
        "checkpointed": gradient(total(Scan())),
        "nested": gradient(total(Nested())),
        "uncheckpointed": gradient(plain(total(Scan()), denoise, x)),
    }
    programs = {name: jax.jit(function).lower(denoise, x).compile() for name, function in functions.items()}
    runs = [lambda p=programs[name]: p(denoise, x) for name in ("forward", "checkpointed", "nested")]
    forward_s, exact_s, nested_s = paired(repeats, *runs)
    result = {
        "benchmark": "gradient",
        "steps": n_steps,
        "images": n_images,
        "forward_seconds": forward_s,
        "gradient_seconds": exact_s,
        "gradient_over_forward": exact_s / forward_s,
        "nested_over_forward": nested_s / forward_s,
        **{f"{name}_megabytes": planned(program) for name, program in programs.items()},
        "state_megabytes": x.nbytes / 1e6,
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
    }
    return result | (growth(before, result) if before else {})


def planned(program) -> float:
    """Megabytes of temporary arrays."""
    return program.memory_analysis().temp_size_in_bytes / 1e6


def growth(before: dict, after: dict) -> dict[str, float]:
    """States a step that memory grew by, of the two checkpointed gradients."""
    more = (after["steps"] - before["steps"]) * after["state_megabytes"]
    changes = {name: after[f"{name}_megabytes"] - before[f"{name}_megabytes"] for name in ("checkpointed", "nested")}
    return {"states_a_step": changes["checkpointed"] / more, "nested_states_a_step": changes["nested"] / more}


def paired(repeats, *functions):
    """Median seconds of each function, called in turn so that a drifting machine hits all alike."""
    times = [[] for _ in functions]
    for _ in range(repeats + 1):
        for function, record in zip(functions, times, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(function())
            record.append(time.perf_counter() - start)
    return [statistics.median(record[1:]) for record in times]


if __name__ == "__main__":
    main()
