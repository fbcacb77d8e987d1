"""What an accelerator makes of the large networks: share of the matrix peak, gradients, ragged time, attention.

    python benchmarks/accelerator.py [--batch 8 64] [--repeats 5] [--only forward gradient ...] [--out FILE]

One call, one JSON line. Networks are ADM-256 and DDPM++ deep in bfloat16 with random weights; `--small` takes the
bundled digits network instead, to try the script on a CPU. `peak_tflops` is that of a measured matrix product, and
shares are of it. Memory is what the compiler plans. cuDNN attention is timed where it applies: bfloat16 on a GPU with
heads of at most 256 channels. For SSNI against a PyTorch loop see ssni_vs_stepwise.py.
"""

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax import __version__
from ssni_jax.core.rng import sample_keys
from ssni_jax.evals.cost import counted
from ssni_jax.networks import initial_state
from ssni_jax.networks.network import Network, abstract
from ssni_jax.networks.precondition import Preconditioned
from ssni_jax.published import Published
from ssni_jax.schedules import VP, Uniform
from ssni_jax.solvers import Ancestral, ragged, solve
from ssni_jax.zoo import Pretrained

NETWORKS = {"adm_256": "imagenet256-uncond", "ddpmpp_deep": "cifar10-score"}
ATTENTIONS = {"adm_256": (1024, 8, 64), "ddpmpp_deep": (256, 1, 256)}  # positions, heads, channels per head
OUTER = {"first": (3, 256), "last": (256, 6)}  # channels into and out of the outer convolutions of ADM-256
N_STEPS, MATRIX = 10, 8192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs=2, default=[8, 64], help="rows of ADM-256 and of DDPM++ deep")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--small", action="store_true", help="the bundled digits network, for a quick try")
    parser.add_argument("--out", type=Path, help="append the line to this file")
    options = parser.parse_args()
    size = 512 if options.small else MATRIX
    peak = matrix_peak(size, options.repeats)
    result = {"benchmark": "accelerator", "peak_tflops": peak / 1e12, "matrix": size, "repeats": options.repeats}
    for name, n_rows in networks(options):
        case = Case(name, n_rows, options.repeats, peak)
        for part in options.only:
            result |= {f"{name}_{part}_{key}": value for key, value in PARTS[part](case).items()}
    device = jax.devices()[0]
    result |= {"device": device.device_kind, "version": __version__, "jax": jax.__version__}
    line = json.dumps(
        {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in result.items()}
    )
    print(line)
    if options.out is not None:
        with options.out.open("a") as file:
            file.write(line + "\n")


def rounded(value):
    """A number in four digits."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def networks(options: argparse.Namespace) -> list[tuple[str, int]]:
    """Names and rows of the networks to measure."""
    return [("digits", 64)] if options.small else list(zip(NETWORKS, options.batch, strict=True))


class Case:
    """A network with random weights, images for it, and the measured peak."""

    def __init__(self, name: str, n_rows: int, repeats: int, peak: float):
        self.name, self.n, self.repeats, self.peak = name, n_rows, repeats, peak
        stored = Pretrained("digits-score") if name == "digits" else Published(NETWORKS[name], "bfloat16")
        self.shape = (n_rows, *stored.image_shape)
        self.denoise = stored.load() if name == "digits" else random_network(stored)
        self.x = jax.random.normal(jax.random.key(1), self.shape)
        self.keys = sample_keys(jax.random.key(0), jnp.arange(n_rows))
        one = jax.ShapeDtypeStruct((1, *self.shape[1:]), jnp.float32)
        self.flops = counted(lambda denoise, x: denoise(x, jnp.ones(1)), self.denoise, one)  # per row


def random_network(stored: Published) -> Preconditioned:
    """The published network with small random weights in float32."""
    public = stored.public
    config = stored.public.config
    config = type(config)(**{**vars(config), "dtype": stored.dtype})
    graphdef, _ = abstract(config.make)
    return Preconditioned(
        Network(graphdef, jax.jit(partial(initial_state, config.make))(jax.random.key(0))), public.around
    )


def forward(case: Case) -> dict:
    """One call of the network."""
    run, planned = compiled(lambda denoise, x: denoise(x, jnp.ones(len(x))), case.denoise, case.x)
    seconds = timed(run, case.repeats, case.denoise, case.x)
    return {
        "rows": case.n,
        "milliseconds": 1e3 * seconds,
        "share_of_peak": case.n * case.flops / seconds / case.peak,
        "temporary_megabytes": planned / 1e6,
    }


def gradient(case: Case) -> dict:
    """The exact gradient through ten ancestral steps, in calls of the network."""
    levels = Uniform(N_STEPS)(VP(), jnp.full(case.n, 0.1))

    def total(denoise, x):
        return jnp.sum(jnp.square(solve(case.keys, denoise, Ancestral(), x, levels)))

    run, planned = compiled(jax.grad(total, argnums=1), case.denoise, case.x)
    walk, _ = compiled(lambda denoise, x: solve(case.keys, denoise, Ancestral(), x, levels), case.denoise, case.x)
    seconds, walked = timed(run, case.repeats, case.denoise, case.x), timed(walk, case.repeats, case.denoise, case.x)
    return {
        "steps": N_STEPS,
        "milliseconds": 1e3 * seconds,
        "over_forward": seconds / walked,
        "temporary_megabytes": planned / 1e6,
    }


def ragged_time(case: Case) -> dict:
    """A ragged walk of rows of 1 to ten steps against the calls that the rows need."""
    counts = 1 + np.arange(case.n) % N_STEPS
    levels = Uniform(N_STEPS)(VP(), jnp.asarray(counts / N_STEPS * 0.1, jnp.float32))
    n_slots = max(1, case.n // 4)

    def walk(denoise, x):
        return ragged.solve(case.keys, lambda rows: denoise, Ancestral(), x, levels, n_slots=n_slots)

    run, _ = compiled(walk, case.denoise, case.x)
    slot, _ = compiled(lambda denoise, x: denoise(x, jnp.ones(len(x))), case.denoise, case.x[:n_slots])
    seconds, one = (
        timed(run, case.repeats, case.denoise, case.x),
        timed(slot, case.repeats, case.denoise, case.x[:n_slots]),
    )
    n_calls = int(np.sum(np.asarray(levels[:-1] != levels[1:])))
    rows_paid = n_slots * int(run(case.denoise, case.x).n_iterations)
    return {
        "slots": n_slots,
        "overhead_rows": rows_paid / n_calls,
        "overhead_time": seconds / (one * n_calls / n_slots),
    }


def attention(case: Case) -> dict:
    """The network's largest attention by XLA and, where it applies, by cuDNN."""
    if case.name not in ATTENTIONS:
        return {}
    n, heads, channels = ATTENTIONS[case.name]
    qkv = jax.random.normal(jax.random.key(0), (3, case.n, n, heads, channels), jnp.bfloat16)
    kinds = {"xla": "xla"} | ({"cudnn": "cudnn"} if jax.default_backend() == "gpu" and channels <= 256 else {})
    result = {}
    for name, kind in kinds.items():
        run, _ = compiled(partial(jax.nn.dot_product_attention, implementation=kind), *qkv)
        result[f"{name}_milliseconds"] = 1e3 * timed(run, case.repeats, *qkv)
    return result


def outer_convolutions(case: Case) -> dict:
    """The first and the last convolution apart: their few channels are what matrix units like least."""
    if case.name != "adm_256":
        return {}
    result = {}
    for name, (n_in, n_out) in OUTER.items():
        x = jax.random.normal(jax.random.key(0), (case.n, 256, 256, n_in), jnp.bfloat16)
        kernel = jax.random.normal(jax.random.key(1), (3, 3, n_in, n_out), jnp.bfloat16)

        def convolve(x, kernel):
            return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

        def of_weights(x, kernel, convolve=convolve):
            return jax.grad(lambda k: jnp.sum(convolve(x, k).astype(jnp.float32)))(kernel)

        flops = 2 * case.n * 256 * 256 * 9 * n_in * n_out
        for kind, function in (("forward", convolve), ("weight_gradient", of_weights)):
            run, _ = compiled(function, x, kernel)
            seconds = timed(run, case.repeats, x, kernel)
            result |= {f"{name}_{kind}_milliseconds": 1e3 * seconds}
            result |= {f"{name}_{kind}_share_of_peak": flops / seconds / case.peak}
    return result


PARTS = {
    "forward": forward,
    "gradient": gradient,
    "ragged": ragged_time,
    "attention": attention,
    "convolutions": outer_convolutions,
}


def matrix_peak(n: int, repeats: int) -> float:
    """Operations per second of a square bfloat16 matrix product."""
    a = jax.random.normal(jax.random.key(0), (n, n), jnp.bfloat16)
    run, _ = compiled(lambda a, b: a @ b, a, a)
    return 2 * n**3 / timed(run, repeats, a, a)


def compiled(function, *arguments):
    """The compiled function, and the bytes of temporary values that it plans."""
    program = jax.jit(function).lower(*arguments).compile()
    return program, program.memory_analysis().temp_size_in_bytes


def timed(run, repeats: int, *arguments) -> float:
    """Median seconds after one run to warm up."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        jax.block_until_ready(run(*arguments))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


if __name__ == "__main__":
    main()
