"""SSNI by ragged time against the released scheme, t* + b calls for every image: the same network, images and t.

    python benchmarks/ssni_vs_stepwise.py [--images 64] [--slots 8] [--repeats 3]

Three contenders, 32 x 32 x 3 images, t* = 100, b = 5, 20 calls for the score norm: ours (ragged), the released scheme
in our scan, and the released scheme as a plain PyTorch loop, if torch is installed. Weights are random and t is drawn
as SSNI-N would give it, 105 sigmoid(1.2 n): the time does not depend on what the network knows. Both networks are
checked to agree before anything is timed, and programs are compiled. Contenders take turns, and medians over the turns
are compared: let nothing else run. Every core is a JAX device with its own queue of images. PyTorch gets the number of
threads and images per batch that were fastest in a short trial of all of them. Peak memory is that of a process in
which one contender runs alone, compiling and libraries included. Prints one JSON line.
"""

import argparse
import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.core.rng import fold, normal_like, sample_keys
from ssni_jax.dist import by_rows, make_mesh, rows, whole
from ssni_jax.networks import Preconditioned, SongUNetConfig, VpCoefficients
from ssni_jax.networks.network import Network, abstract, flat, n_params, unflat
from ssni_jax.purify import ScoreNorm
from ssni_jax.schedules import VP, DiscreteVP, IntegerSteps
from ssni_jax.solvers import Ancestral, diffuse, ragged, solve

T_STAR, BIAS, N_LEVELS = 100, 5, 20
N_STEPS = T_STAR + BIAS
CONFIG = SongUNetConfig(resolution=32, model_channels=32, channel_mult=(1, 1, 2, 2), num_blocks=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--slots", type=int, default=8, help="of every device")
    parser.add_argument("--together", type=int, default=1, help="levels of the score norm in one network call")
    parser.add_argument("--torch-batches", type=int, nargs="+", default=[4, 8, 16, 32, 64], help="tried for PyTorch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--alone", help="run this contender once and print the peak memory of the process in MB")
    options = parser.parse_args()
    n_cores = len(os.sched_getaffinity(0))
    jax.config.update("jax_num_cpu_devices", n_cores)  # inside a loop XLA runs a convolution on one core
    denoise, arrays = random_denoiser()
    mesh, t = make_mesh(), random_times(options.images)
    t = t[ragged.deal(t, mesh.shape["data"])]
    x, keys = random_images(options.images), sample_keys(jax.random.key(0), jnp.arange(options.images))
    placed = jax.device_put(ScoreNorm(denoise, VP(), N_LEVELS, n_together=options.together), whole(mesh))
    arguments = (placed, *jax.device_put((keys, x, t), rows(mesh)))
    if options.alone:
        run_alone(options, mesh, arguments, denoise, arrays)
        return
    contenders = {name: jax_contender(name, options, mesh, arguments) for name in ("ours", "released_scan")}
    facts = {"torch": "torch is not installed: no PyTorch loop was timed"}
    if importlib.util.find_spec("torch"):
        contenders["released_torch"], facts = torch_loop(denoise, arrays, x, t, options.torch_batches)
    load_before = os.getloadavg()[0]
    seconds, cpu_seconds, found = interleaved(contenders, options.repeats)
    walked = int(jnp.sum(found["ours"][2])) * options.slots
    calls = {"ours": N_LEVELS + walked / options.images, "released": float(N_LEVELS + N_STEPS)}
    result = {
        "benchmark": "ssni_vs_stepwise",
        "images": options.images,
        "parameters": n_params(denoise.network.state),
        "devices": mesh.shape["data"],
        "slots_a_device": options.slots,
        "levels_together": options.together,
        "mean_t": round(float(jnp.mean(t)), 2),
        "largest_t": int(jnp.max(t)),
        "calls_an_image": {name: round(v, 2) for name, v in calls.items()},
        "fewer_calls": round(calls["released"] / calls["ours"], 3),
        "seconds": {name: round(v, 2) for name, v in seconds.items()},
        "peak_megabytes": {name: peak_memory(name, facts) for name in contenders},
        "cpu_seconds": {name: round(v, 2) for name, v in cpu_seconds.items()},
        "times_faster": {k: round(v / seconds["ours"], 3) for k, v in seconds.items() if k != "ours"},
        "times_less_cpu": {
            name: round(v / cpu_seconds["ours"], 3) for name, v in cpu_seconds.items() if name != "ours"
        },
    }
    difference = jnp.max(jnp.abs(found["ours"][1] - found["released_scan"][1]))
    result |= {
        "largest_difference_from_scan": float(difference),
        **facts,
        "repeats": options.repeats,
        "load_before": round(load_before, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "threads": n_cores,
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
    }
    print(json.dumps(result))


def jax_contender(name, options, mesh, arguments):
    """One of ours, compiled, as a function of nothing."""
    function = {"ours": partial(ragged_ssni, n_slots=options.slots), "released_scan": released_ssni}[name]
    program = compiled(mesh, function, arguments)
    return lambda: jax.block_until_ready(program(*arguments))


def run_alone(options, mesh, arguments, denoise, arrays):
    """Runs one contender in this process, and prints the most memory that the process has had."""
    if options.alone == "released_torch":
        _, _, x, t = arguments
        torch_loop(denoise, arrays, x, t, options.torch_batches, checks=False)[0]()  # which JAX would compile
    else:
        jax_contender(options.alone, options, mesh, arguments)()
    # What `getrusage` says of a new process begins with the memory of the one that started it.
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    print(int(status["VmHWM"].split()[0]) // 1024)


def peak_memory(name, facts):
    """Megabytes of a process that runs one contender, and of PyTorch's with its fastest batch."""
    batch = ["--torch-batches", str(facts["torch_batch"])] if name == "released_torch" else []
    command = [sys.executable, __file__, "--alone", name, *batch]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def compiled(mesh, function, arguments):
    """The function on every device's own rows, compiled."""
    return jax.jit(by_rows(mesh, function)).lower(*arguments).compile()


def released_ssni(deviation, keys, x, t):
    """The released scheme: every image pays for `N_STEPS`."""
    norm, levels = deviation(fold(keys, 0), x), noise_levels(t)
    return norm, solve(keys, deviation.denoise, Ancestral(), diffuse(fold(keys, -1), x, levels[0]), levels)


def ragged_ssni(deviation, keys, x, t, n_slots):
    """The same images, every one paying for its own t."""
    norm, levels = deviation(fold(keys, 0), x), noise_levels(t)
    noised = diffuse(fold(keys, -1), x, levels[0])
    done = ragged.solve(keys, lambda _: deviation.denoise, Ancestral(), noised, levels, n_slots=n_slots)
    return norm, done.x, done.n_iterations[None]


def noise_levels(t):
    return IntegerSteps(N_STEPS)(DiscreteVP(), t / 1000)


def random_denoiser():
    """A DDPM++ whose every array is random, so that a wrong layout anywhere would show."""
    random, (graphdef, shapes) = np.random.default_rng(0), abstract(CONFIG.make)
    arrays = {key: random_array(random, key, leaf.shape) for key, leaf in flat(shapes).items()}
    state = unflat(shapes, jax.tree.map(jnp.asarray, arrays))
    return Preconditioned(Network(graphdef, state), VpCoefficients(VP())), arrays


def random_array(random, key, shape):
    noise = random.standard_normal(shape).astype(np.float32)
    if key.endswith("kernel"):
        return noise / np.float32(np.sqrt(np.prod(shape[:-1])))
    return 0.1 * noise + np.float32(key.endswith("scale"))


def random_images(n):
    return jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (n, 32, 32, 3)), jnp.float32)


def random_times(n):
    """Integer steps, as SSNI-N gives them: (t* + b) sigmoid((xi - mean) / tau), mean about (t* + b) / 2."""
    weight = 1 / (1 + np.exp(-1.2 * np.random.default_rng(2).standard_normal(n)))
    return jnp.asarray(np.maximum(1, np.round(N_STEPS * weight)), jnp.float32)


def torch_loop(denoise, arrays, x, t, batches, checks=True):
    """The released scheme in PyTorch as a function of nothing, and what was checked and chosen."""
    import ddpmpp_torch as theirs
    import torch

    network = theirs.load(theirs.DDPMpp(CONFIG), arrays)
    sigmas = np.asarray(DiscreteVP().sigma(jnp.arange(N_STEPS + 1) / 1000), np.float64)
    tables = theirs.Tables(sigmas, 999 * np.asarray(VP().inverse(jnp.asarray(sigmas, jnp.float32))))
    levels = [(float(VP().scale(i)), float(VP().sigma(i) * VP().scale(i)), 999 * i) for i in eps_times()]
    batch, threads, trial = fastest(theirs, network, levels, to_torch(x), batches)
    torch.set_num_threads(threads)
    parts = list(zip(to_torch(x).split(batch), torch.tensor(np.asarray(t), dtype=torch.long).split(batch), strict=True))

    def run():
        norms = [theirs.eps_norm(network, images, levels) for images, _ in parts]
        return norms, [theirs.purify(network, tables, images, steps, N_STEPS) for images, steps in parts]

    differences = {}
    if checks:
        differences["network"] = network_difference(denoise, network, x[:4])
        differences["purified"] = purified_difference(theirs, denoise, network, tables, x[:2])
    if max(differences.values(), default=0.0) > 1e-4:
        raise RuntimeError(f"The two implementations differ by {differences}: their times cannot be compared.")
    return run, {
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "torch_batch": batch,
        "torch_trial_seconds": trial,
        "torch_relative_difference": {name: float(f"{v:.1e}") for name, v in differences.items()},
    }


def fastest(theirs, network, levels, x, batches):
    """The batch and number of threads with which PyTorch measures score norms fastest, and the seconds of all."""
    import torch

    trial = {}
    choices = [(batch, threads) for batch in batches for threads in range(1, len(os.sched_getaffinity(0)) + 1)]
    for _, (batch, threads) in itertools.product(range(2 if len(choices) > 1 else 0), choices):
        torch.set_num_threads(threads)
        start = time.perf_counter()
        for images in x.split(batch):
            theirs.eps_norm(network, images, levels[:2])
        trial.setdefault((batch, threads), []).append(time.perf_counter() - start)
    if not trial:
        return batches[0], len(os.sched_getaffinity(0)), {}
    best = min(trial, key=lambda choice: min(trial[choice]))
    return *best, {f"{batch} images, {threads} threads": round(min(v), 2) for (batch, threads), v in trial.items()}


def eps_times():
    return [i / 1000 for i in range(1, N_LEVELS + 1)]


def network_difference(denoise, network, x):
    """Relative L2 difference of the raw networks' outputs."""
    import torch

    label = np.linspace(1, 100, len(x), dtype=np.float32)
    with torch.inference_mode():
        found = to_numpy(network(to_torch(x), torch.from_numpy(label)))
    return relative(found, jax.jit(denoise.network)(x, jnp.asarray(label)))


def purified_difference(theirs, denoise, network, tables, x):
    """Relative L2 difference of two images purified with the same noise, 7 and 18 steps of 21 at once."""
    import torch

    keys, t = sample_keys(jax.random.key(5), jnp.arange(2)), jnp.asarray([7.0, 18.0])
    levels = IntegerSteps(21)(DiscreteVP(), t / 1000)
    expected = jax.jit(solve)(keys, denoise, Ancestral(), diffuse(fold(keys, -1), x, levels[0]), levels)
    draw = lambda _, row: to_torch(normal_like(fold(keys, row), x))  # noqa: E731
    return relative(to_numpy(theirs.purify(network, tables, to_torch(x), torch.tensor([7, 18]), 21, draw)), expected)


def relative(found, expected):
    return float(np.linalg.norm(found - np.asarray(expected)) / np.linalg.norm(expected))


def to_torch(x):
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(x), -1, 1)))


def to_numpy(x):
    return np.moveaxis(x.numpy(), 1, -1)


def interleaved(contenders, repeats):
    """Median wall and processor seconds of each contender's turns, and its result.

    Processor seconds of all threads say less about other people's load than the wall clock does.
    """
    wall, cpu, found = ({name: [] for name in contenders} for _ in range(3))
    for _ in range(repeats):
        for name, run in contenders.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            found[name] = run()
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - start_cpu)
            print(f"{name}: {wall[name][-1]:.1f} s, {cpu[name][-1]:.1f} s of processors", file=sys.stderr, flush=True)
    return *({name: statistics.median(turns) for name, turns in clock.items()} for clock in (wall, cpu)), found


if __name__ == "__main__":
    main()
