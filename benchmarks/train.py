"""What one training step costs, alone and inside the loop with its loader and hooks, and that nothing in it waits.

    python benchmarks/train.py [--network digits|cifar10-small] [--batch-size 128] [--steps 50] [--remat none]

Prints one JSON line. `gflops` is a second's share of the operations that XLA counts in the compiled step;
`dispatch_share` is how much of a step's time its call takes to return: far below 1, nothing waits for the device.
In the loop the metrics are read once; nothing is saved, which happens in the background every 1,000 steps or so.
"""

import argparse
import dataclasses
import json
import runpy
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.data import training_batches
from ssni_jax.data.source import example
from ssni_jax.dist import global_rows, make_mesh, sharded_over_data
from ssni_jax.networks import make_rngs
from ssni_jax.training import Checkpoints, compile_step, init_state, make_train_step, train, usual_hooks
from ssni_jax.training.step import row_keys

CONFIGS = Path(__file__).parent.parent / "configs"
NETWORKS = {"digits": "train_score_digits.py", "cifar10-small": "train_edm_cifar10_small.py"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="digits")
    parser.add_argument("--batch-size", type=int, help="of all devices; by default the config's")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--remat", choices=("none", "blocks", "dots"), default="none")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    experiment = runpy.run_path(str(CONFIGS / NETWORKS[options.network]))["experiment"]
    network = dataclasses.replace(experiment.network, remat=options.remat, dtype=options.dtype)
    experiment = dataclasses.replace(experiment, network=network)
    print(json.dumps(measure(experiment, options.batch_size or experiment.batch_size, options.steps)))


def measure(experiment, batch_size: int, n: int) -> dict:
    """Times of `n` steps in three ways, after one that compiles."""
    mesh, tx, root = make_mesh(), experiment.optimizer.transform(n), jax.random.key(0)
    build = lambda: experiment.network.make(rngs=make_rngs(jax.random.key(0)))  # noqa: E731
    graphdef, state = init_state(build, tx, lambda shapes: sharded_over_data(mesh, shapes))
    step = make_train_step(experiment.loss, graphdef, tx, experiment.ema_decay, n_steps=n)
    source = Noise(experiment.network)
    batch = global_rows(mesh, next(training_batches(source, batch_size)))
    start = time.perf_counter()
    program = jax.jit(step).lower(state, row_keys(root, jnp.int32(0), batch_size), batch).compile()
    compile_seconds = time.perf_counter() - start
    flops, memory = (program.cost_analysis() or {})["flops"], program.memory_analysis()
    run = compile_step(step, root, mesh, like=state)
    state, _ = jax.block_until_ready(run(state, batch))
    state, alone, dispatch = repeated(run, state, batch, n)
    looped = in_the_loop(run, state, training_batches(source, batch_size), n)
    return {
        "benchmark": "train",
        "network": experiment.name,
        "remat": experiment.network.remat,
        "dtype": experiment.network.dtype,
        "batch_size": batch_size,
        "steps": n,
        "images_per_second": round(n * batch_size / alone, 1),
        "images_per_second_in_the_loop": round(n * batch_size / looped, 1),
        "gflop_per_step": round(flops / 1e9, 3),
        "gflops": round(n * flops / alone / 1e9, 2),
        "temporary_megabytes": round(memory.temp_size_in_bytes / 1e6, 1) if memory else None,
        "dispatch_share": round(dispatch / alone, 3),
        "compile_seconds": round(compile_seconds, 1),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "jax": jax.__version__,
    }


def repeated(run, state, batch, n):
    """The state, seconds of `n` steps, and seconds until the last of them was merely asked for."""
    start = time.perf_counter()
    with jax.transfer_guard_device_to_host("disallow"):
        for _ in range(n):
            state, metrics = run(state, batch)
        asked = time.perf_counter()
        jax.block_until_ready((state, metrics))
    return state, time.perf_counter() - start, asked - start


def in_the_loop(run, state, batches, n) -> float:
    """Seconds of `n` steps with the loader and the usual hooks, which read the metrics once."""
    done = int(state.step)
    with tempfile.TemporaryDirectory() as folder, Checkpoints(folder) as checkpoints:
        hooks = usual_hooks(checkpoints, batches, n_steps=10**9, every=n, save_every=10**9)
        start = time.perf_counter()
        jax.block_until_ready(train(state, run, batches, n_steps=done + n, hooks=hooks))
        return time.perf_counter() - start


class Noise:
    """1,024 random images of a network's shape: the speed does not depend on what is in them."""

    def __init__(self, network):
        self.image_shape, self.n_classes, self.fingerprint = (*(network.resolution,) * 2, network.in_channels), 1, ""
        self.images = np.random.default_rng(0).integers(0, 256, (1024, *self.image_shape), np.uint8)
        self.labels = np.zeros(1024, np.int32)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return example(self.images, self.labels, i)


if __name__ == "__main__":
    main()
