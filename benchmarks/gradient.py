"""What an exact gradient through a long solve costs, in time and in memory, for the bundled score network.

    python benchmarks/gradient.py [--steps 100] [--images 32]

Prints one JSON line. Time is in units of one forward solve of the same length; memory is what XLA plans for temporary
arrays, with `jax.checkpoint` around each step (as `solve` does) and without.
"""

import argparse
import json
import statistics
import time

import jax
import jax.numpy as jnp

from ssni_jax.core.rng import fold, sample_keys
from ssni_jax.schedules import VP, Uniform
from ssni_jax.solvers import Ancestral, solve
from ssni_jax.solvers.solve import advance
from ssni_jax.zoo import Pretrained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    denoise = Pretrained("digits-score").load()
    keys = sample_keys(jax.random.key(0), jnp.arange(options.images))
    x = jax.random.normal(jax.random.key(1), (options.images, 8, 8, 1))
    levels = VP().sigma(Uniform(options.steps)(jnp.full(options.images, 0.1)))

    def gradient_of(solver):
        return jax.jit(jax.grad(lambda x, denoise: jnp.sum(jnp.square(solver(keys, denoise, Ancestral(), x, levels)))))

    forward = jax.jit(lambda x, denoise: solve(keys, denoise, Ancestral(), x, levels)).lower(x, denoise).compile()
    exact = gradient_of(solve).lower(x, denoise).compile()
    stored = gradient_of(solve_storing_everything).lower(x, denoise).compile()
    forward_s, exact_s = paired(options.repeats, lambda: forward(x, denoise), lambda: exact(x, denoise))
    megabytes = [round(program.memory_analysis().temp_size_in_bytes / 1e6, 2) for program in (forward, exact, stored)]
    result = {
        "benchmark": "gradient",
        "steps": options.steps,
        "images": options.images,
        "forward_seconds": round(forward_s, 3),
        "gradient_seconds": round(exact_s, 3),
        "gradient_over_forward": round(exact_s / forward_s, 3),
        "forward_megabytes": megabytes[0],
        "checkpointed_megabytes": megabytes[1],
        "uncheckpointed_megabytes": megabytes[2],
        "state_megabytes_a_step": round(x.nbytes / 1e6, 4),
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
    }
    print(json.dumps(result))


def solve_storing_everything(keys, denoise, step, x, levels):
    """`solve` without checkpointing: reverse mode keeps every activation of every step."""

    def body(x, row):
        index, hi, lo = row
        return advance(fold(keys, index), denoise, step, x, (hi, lo)), None

    rows = (jnp.arange(levels.shape[0] - 1), levels[:-1], levels[1:])
    return jax.lax.scan(body, x, rows)[0]


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
