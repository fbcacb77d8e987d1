"""Compiles or lowers one program for accelerators that need not be there, and prints what the compiler says of it.

    python -m tests.accelerators tpu:v5e:2x4 denoiser-ddpmpp

A process of its own, because the compilers read their settings when JAX is imported. Prints one JSON line with the
bytes per device, the collectives, and whether they are inside loops.
"""

import json
import os
import sys
import time

from ssni_jax.lifecycle.compilers import prepare_compilers

if __name__ == "__main__":
    prepare_compilers(sys.argv[1:2], os.environ)

import dataclasses
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.attacks import Linf, Objective, Pgd
from ssni_jax.dist import by_rows, rows
from ssni_jax.dist.targets import target_named
from ssni_jax.evals.attacked import make_driver
from ssni_jax.evals.collectives import collectives
from ssni_jax.evals.prediction import make_predict
from ssni_jax.evals.sharing import SharedJit
from ssni_jax.jobs.plan import batch_shapes, placed
from ssni_jax.jobs.plan_training import lowered_step
from ssni_jax.networks import Conditioned
from ssni_jax.published import Published
from ssni_jax.zoo import outline

CONFIGS = Path(__file__).parent.parent / "configs"
SIDES = {"cifar10": 32, "imagenet": 256}
SURROGATE = {"cifar10": 20, "imagenet": 10}
ROWS = {"cifar10": 8, "imagenet": 4}


def denoiser(mesh, name, n_rows):
    """One call of a published denoiser in bfloat16; one with classes is told class 0."""
    stored = Published(name, "bfloat16")
    network = outline(stored)
    network = network if not stored.public.config.label_dim else Conditioned(network, 0, stored.public.config.label_dim)
    _, x, _ = batch_shapes(mesh, stored.image_shape, n_rows * mesh.shape["data"])
    sigma = jax.ShapeDtypeStruct((x.shape[0],), jnp.float32, sharding=rows(mesh))
    call = by_rows(mesh, lambda denoise, x, sigma: denoise(x, sigma))
    return SharedJit(call).lower(placed(network, mesh), x, sigma)


def row(data, mesh, divided=False):
    """SSNI-N over DiffPure as its paper has it, as shapes on the mesh, and a batch for it."""
    chosen = runpy.run_path(str(CONFIGS / "papers" / f"{data}_diffpure.py"))["experiment"]
    evaluation = chosen.build(dataclasses.replace(chosen.choices, ssni="N", dtype="bfloat16"))
    n = ROWS[data] * mesh.shape["data"]
    return placed(outline(evaluation.defense), mesh, divided=divided), batch_shapes(
        mesh, (SIDES[data], SIDES[data], 3), n
    )


def evaluation(mesh, data, divided=False):
    """The prediction of an evaluation: score norm, dealing of rows, walk (ragged unless divided), classifier."""
    defense, (keys, x, _) = row(data, mesh, divided)
    return make_predict(mesh, ROWS[data]).lower(defense, keys, x)


def pgd(mesh, data):
    """One chunk of PGD with two draws through the released surrogate of the row, t held."""
    defense, (keys, x, y) = row(data, mesh)
    attack = Pgd(Linf(4 / 255), n_steps=20)
    objective = Objective(n_draws=2, n_together=1, hold=True).of(defense.with_steps(SURROGATE[data]))
    driver = make_driver(mesh, attack)
    state = jax.eval_shape(driver.init.function, attack, objective, keys, x, y)
    state = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=rows(mesh)), state)
    return driver.advance.lower(attack, objective, keys, np.int32(0), state, x, y)


def training(mesh, config):
    """A step with parameters and optimiser state in parts over the devices."""
    return lowered_step(runpy.run_path(str(CONFIGS / f"{config}.py"))["experiment"], mesh, 4)


COMPILED = {
    "denoiser-ddpmpp": lambda mesh: denoiser(mesh, "cifar10-score", 32),
    "denoiser-adm256": lambda mesh: denoiser(mesh, "imagenet256-uncond", 8),
    "evaluation-cifar10": lambda mesh: evaluation(mesh, "cifar10"),
    "evaluation-imagenet": lambda mesh: evaluation(mesh, "imagenet"),
    "evaluation-fsdp": lambda mesh: evaluation(mesh, "cifar10", divided=True),
    "pgd-cifar10": lambda mesh: pgd(mesh, "cifar10"),
    "training-fsdp": lambda mesh: training(mesh, "tune_cifar10"),
}
LOWERED = {
    "denoiser-adm64": lambda mesh: denoiser(mesh, "cd-imagenet64", 8),
    "denoiser-ncsnpp": lambda mesh: denoiser(mesh, "cd-lpips-cifar10", 32),
    "pgd-imagenet": lambda mesh: pgd(mesh, "imagenet"),
    "training-distillation": lambda mesh: training(mesh, "distil_cifar10"),
}


def main(target_name, case):
    """Prints the facts of one case."""
    target = target_named(target_name)
    mesh, begun = target.mesh(), time.monotonic()
    lowered = (COMPILED | LOWERED)[case](mesh)
    facts = {"case": case, "target": target_name, "device_bytes": target.n_bytes}
    if case in COMPILED:
        program = lowered.compile()
        memory, counts = program.memory_analysis(), collectives(program.as_text())
        facts |= {
            "arguments": memory.argument_size_in_bytes,
            "temporary": memory.temp_size_in_bytes,
            "results": memory.output_size_in_bytes - memory.alias_size_in_bytes,
            "collectives": dict(counts.all),
            "in_loops": dict(counts.in_loops),
        }
    print(json.dumps(facts | {"seconds": round(time.monotonic() - begun)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
