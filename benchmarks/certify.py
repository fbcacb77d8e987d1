"""Draws a second of certification: images and draws in shared batches, against one image at a time, on the digits.

    python benchmarks/certify.py [--images 8] [--n-estimation 1000] [--batch 256] [--devices 2] [--method plain]

Prints one JSON line. The other way is that of Cohen et al.'s code (2019): each image by itself on one device, blocks of
`--one-batch` draws, and the votes of every block fetched and counted on the host before the next begins. Both are
compiled, draw their noise on the device, and count the same votes; `speedup` is the ratio of their draws a second.
"""

import argparse
import json
import os
import time

import jax
import numpy as np

METHODS = ("plain", "one-step-edm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--n-selection", type=int, default=100)
    parser.add_argument("--n-estimation", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--one-batch", type=int, default=100)
    parser.add_argument("--devices", type=int, default=os.cpu_count(), help="CPU devices, one a core by default")
    parser.add_argument("--method", choices=METHODS, default=METHODS[0])
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", options.devices)
    print(json.dumps(compare(options)))


def compare(options: argparse.Namespace) -> dict:
    """Both ways, compiled first."""
    from ssni_jax.certify import FixedDraws
    from ssni_jax.data import Digits, take
    from ssni_jax.dist import make_mesh, whole
    from ssni_jax.evals.smoothing import make_programs
    from ssni_jax.evals.votes import DrawPlan, Group, collect
    from ssni_jax.purify import Defense, predictor
    from ssni_jax.recipes import edm_one_step
    from ssni_jax.zoo import Pretrained, resolve

    score, classify = Pretrained("digits-score"), Pretrained("digits-classifier")
    predicts = {"plain": predictor(classify), "one-step-edm": Defense(edm_one_step(score), classify)}
    defense = predicts[options.method].at_noise(0.5)
    n_images = -(-options.images // options.devices) * options.devices
    batch = take(Digits("test"), range(n_images))
    group = Group(jax.random.key(0), batch["id"], batch["image"], np.ones(n_images, bool), 0.5, batch["label"])
    plan = DrawPlan(options.n_selection, options.n_estimation, 0.001, FixedDraws())
    mesh = make_mesh()
    programs, together = make_programs(mesh, options.batch), resolve(defense, whole(mesh))
    alone, one = resolve(defense), make_one(options.one_batch)
    shared_s, shared = timed(lambda: collect(programs, together, group, plan))
    single_s, single = timed(lambda: [one_by_one(one, alone, group, image, options) for image in range(n_images)])
    n_draws = n_images * (options.n_selection + options.n_estimation)
    return {
        "benchmark": "certify",
        "method": options.method,
        "images": n_images,
        "draws": n_draws,
        "batch": options.batch,
        "devices": options.devices,
        "one_batch": options.one_batch,
        "draws_per_s": round(n_draws / shared_s),
        "draws_per_s_one_image_at_a_time": round(n_draws / single_s),
        "speedup": round(single_s / shared_s, 3),
        "votes_that_differ": int(np.abs(np.stack(single) - shared.estimation).sum() // 2),
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
    }


def make_one(n_rows: int):
    """A jitted `(predict, root, id, x, sigma, phase, first) -> classes` of one block of one image's draws."""
    import jax.numpy as jnp

    from ssni_jax.certify import draw_keys, noised
    from ssni_jax.certify.smooth import vote

    @jax.jit
    def one(predict, root, id, x, sigma, phase, first):
        keys = draw_keys(root, jnp.full(n_rows, id), phase, first + jnp.arange(n_rows))
        return vote(predict, keys, noised(keys, jnp.broadcast_to(x, (n_rows, *x.shape)), jnp.full(n_rows, sigma)))

    return one


def one_by_one(one, predict, group, image: int, options: argparse.Namespace) -> np.ndarray:
    """The votes of one image, each block waited for and counted on the host."""
    counts = np.zeros((2, 10), int)
    for phase, n in enumerate((options.n_selection, options.n_estimation)):
        for first in range(0, n, options.one_batch):
            x, id = group.images[image], group.ids[image]
            votes = np.asarray(one(predict, group.root, id, x, np.float32(group.sigma), phase, first))
            counts[phase] += np.bincount(votes[: n - first], minlength=10)
    return counts[1]


def timed(function):
    """Seconds of the best of three calls after a first, and its result."""
    result, seconds = function(), []
    for _ in range(3):
        start = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


if __name__ == "__main__":
    main()
