"""What ragged time costs: network rows evaluated over network rows needed, for SSNI-N on the bundled digits.

    python benchmarks/ragged.py [--images 256] [--slots 16]

Prints one JSON line; `overhead` is 1 when no slot ever idles.
"""

import argparse
import json
import time

import jax
import jax.numpy as jnp

from ssni_jax.core.arrays import to_diffusion_range
from ssni_jax.core.rng import fold, sample_keys
from ssni_jax.data import Digits, take
from ssni_jax.presets import preset
from ssni_jax.solvers import diffuse, ragged, solve
from ssni_jax.zoo import resolve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--slots", type=int, default=16)
    options = parser.parse_args()
    purify = resolve(preset("digits-ssni-n")).purify
    batch = take(Digits("test"), range(options.images))
    keys = sample_keys(jax.random.key(0), jnp.asarray(batch["id"]))
    x = jnp.asarray(batch["image"])
    t = purify.times(jax.jit(lambda purify: purify.measure(keys, x))(purify))[0]
    levels = purify.rounds[0].grid(purify.schedule, t)
    noised = diffuse(fold(keys, 1), to_diffusion_range(x), levels[0])
    step = purify.rounds[0].step

    @jax.jit
    def queue(denoise, levels):
        return ragged.solve(keys, lambda rows: denoise, step, noised, levels, n_slots=options.slots)

    @jax.jit
    def masked(denoise, levels):
        return solve(keys, denoise, step, noised, levels)

    ragged_s, found = timed(queue, purify.denoise, levels)
    scan_s, expected = timed(masked, purify.denoise, levels)
    needed = int(jnp.sum(levels[:-1] != levels[1:]))
    result = {
        "benchmark": "ragged",
        "slots": options.slots,
        "images": options.images,
        "sum_t": round(float(jnp.sum(t)), 4),
        "steps_needed": needed,
        "network_calls_per_slot": int(found.n_iterations),
        "overhead": round(int(found.n_iterations) * options.slots / needed, 4),
        "rows_of_a_masked_scan": int(levels.shape[0] - 1) * options.images,
        "seconds": round(ragged_s, 3),
        "seconds_of_a_masked_scan": round(scan_s, 3),
        "largest_difference": float(jnp.max(jnp.abs(found.x - expected))),
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
    }
    print(json.dumps(result))


def timed(function, *arguments):
    """Seconds of the second call, and its result."""
    jax.block_until_ready(function(*arguments))
    start = time.perf_counter()
    result = jax.block_until_ready(function(*arguments))
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main()
