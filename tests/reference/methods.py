"""Methods against their references, with the references' own recorded noise in place of ours."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.convert.family import Converted, convert
from ssni_jax.networks import Preconditioned
from ssni_jax.purify import deviation
from ssni_jax.purify.deviation import ScoreNorm
from ssni_jax.schedules import Karras
from ssni_jax.solvers import Heun, solve
from tests.reference.case import Case, Check, compare
from tests.reference.networks import family_of, network, options_of

TOLERANCE = 1e-4
Outputs = Mapping[str, np.ndarray]


def checks(file: Path) -> Iterator[Check]:
    """Every output of one file of methods that our side of it exists for."""
    io = dict(np.load(file))
    case = Case(file.parent.parent / str(io["meta_network"]))
    converted = convert(family_of(case), case.tensors(str(io["meta_salt"])), options_of(case))
    for output, found in METHODS[file.stem](converted, io).items():
        yield compare(f"methods/{file.stem}", output, found, io[f"out_{output}"], TOLERANCE)


def nhwc(x: np.ndarray) -> jax.Array:
    return jnp.asarray(np.moveaxis(x, -3, -1))


def eps(converted: Converted, io: Outputs) -> dict[str, np.ndarray]:
    """The norm of the expected perturbation score over the recorded noise."""
    denoise = Preconditioned(network(converted), converted.around)
    noise, x = nhwc(io["in_noise"]), 2 * nhwc(io["in_x01"]) - 1
    keys = jax.random.split(jax.random.key(0), len(x))
    norm = ScoreNorm(denoise, converted.around.schedule, n_levels=len(noise))
    with (
        mock.patch.object(deviation, "fold", lambda keys, i: i),
        mock.patch.object(deviation, "normal_like", lambda i, x: noise[i - 1]),
    ):
        perturbed = np.asarray(jax.jit(lambda norm, x: norm(keys, x))(norm, x))
    return {"perturbed_norm": perturbed}


def edm_heun(converted: Converted, io: Outputs) -> dict[str, np.ndarray]:
    """EDM's deterministic sampler, 8 steps from sigma 80 to 0.002 and to zero."""
    denoise = Preconditioned(network(converted), converted.around)
    latents = nhwc(io["in_latents"])
    levels = Karras(n_steps=8, sigma_min=0.002)(jnp.full(len(latents), 80.0))
    keys = jax.random.split(jax.random.key(0), len(latents))
    run = jax.jit(lambda denoise, x: solve(keys, denoise, Heun(), x, levels))
    return {"sample": np.moveaxis(np.asarray(run(denoise, latents * levels[0][:, None, None, None])), -1, 1)}


METHODS: dict[str, Callable[[Converted, Outputs], dict[str, np.ndarray]]] = {
    "eps": eps,
    "edm_heun": edm_heun,
}
