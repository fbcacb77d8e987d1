"""Methods with one noise level for all images, and EDM's sampler."""

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.convert.family import Converted
from ssni_jax.core.arrays import over
from ssni_jax.core.protocols import Purified, Step
from ssni_jax.networks import Clipped
from ssni_jax.purify import Constant, Purifier, Round
from ssni_jax.recipes import diffpure_ode_released, diffpure_sde_released, gns_released
from ssni_jax.schedules import VE, IntegerSteps, Karras, Respaced
from ssni_jax.solvers import Ancestral, Heun, Learned, solve
from tests.reference.methods.case import Io, Outputs, by_index, denoiser, nchw, nhwc, purified
from tests.reference.methods.recorded import rows

GNS_INDICES = ((0, 4, 9), (0, 9, 19), (0, 19, 39))
FIRST_INDEX = 5


def diffpure_sde(converted: Converted, io: Io) -> Outputs:
    """25 steps of 1e-3, the last one to 1e-5; a Brownian increment is a normal times the root of its step."""
    purifier = diffpure_sde_released(denoiser(converted), t_star=0.025)
    # The recorded times are rounded near 1, the steps meant are not.
    steps = np.sqrt(np.round(np.diff(io["in_grid"]), 5))[:, None, None, None, None]
    noise = jnp.concatenate([nhwc(io["in_noise"])[None], nhwc((io["in_dw"] / steps).astype(np.float32))])
    done = purified(purifier, nhwc(io["in_x01"]), noise, [len(io["in_dw"])])
    return {"noised": scaled(purifier, done), "purified": nchw(2 * done.image - 1)}


def diffpure_ode(converted: Converted, io: Io) -> Outputs:
    """5 steps of 1e-2 from t = 0.05, whose draws do not matter."""
    purifier = diffpure_ode_released(denoiser(converted), t_star=0.05, dt=1e-2)
    done = purified(purifier, nhwc(io["in_x01"]), nhwc(io["in_noise"])[None], [0])
    return {"noised": scaled(purifier, done), "purified": nchw(2 * done.image - 1)}


def scaled(purifier: Purifier, done: Purified) -> np.ndarray:
    """The noised image in variance-preserving coordinates."""
    noised = 2 * done.noised - 1
    return nchw(over(purifier.schedule.scale(done.t[0]), noised) * noised)


def gns_ddpm(converted: Converted, io: Io) -> Outputs:
    return gns(converted, io, Ancestral())


def gns_ddim(converted: Converted, io: Io) -> Outputs:
    return gns(converted, io, Ancestral(eta=0.0))


def gns(converted: Converted, io: Io, step: Step) -> Outputs:
    """Three rounds, along the lists of indices that the case's page gives."""
    purifier = gns_released(by_index(converted), indices=GNS_INDICES, step=step)
    done = purified(purifier, nhwc(io["in_x01"]), nhwc(io["in_noise"]), map(len, GNS_INDICES))
    return {"purified01": nchw(done.image)}


def ddpm_ancestral(converted: Converted, io: Io) -> Outputs:
    """Learned variance, clipped estimates and a respaced table, from its index 5."""
    schedule, step = Respaced(len(io["in_kept_steps"]), converted.around.schedule), Ancestral(variance=Learned())
    t, n_steps = (FIRST_INDEX + 1) / schedule.n_kept, FIRST_INDEX + 1
    round_ = Round(Constant(t), IntegerSteps(n_steps, schedule.n_kept), step)
    purifier = Purifier(Clipped(denoiser(converted)), schedule, (round_,))
    noise = jnp.concatenate([nhwc(io["in_noise"])[None], nhwc(io["in_z"])])
    done = purified(purifier, (nhwc(io["in_x"]) + 1) / 2, noise, [n_steps])
    x0, log_variance = jax.jit(first_step)(purifier, done)
    return {
        "noised": scaled(purifier, done),
        "pred_xstart": nchw(x0),
        "log_variance": nchw(log_variance),
        "sample": nchw(2 * done.image - 1),
    }


def first_step(purifier: Purifier, done: Purified) -> tuple[jax.Array, jax.Array]:
    """Its estimate, and the logarithm of its variance in variance-preserving coordinates."""
    hi, lo = purifier.rounds[0].grid(purifier.schedule, done.t[0])[:2]
    x0, deviation = Learned()(purifier.denoise, 2 * done.noised - 1, hi, lo)
    return x0, 2 * jnp.log(over(purifier.schedule.scale(purifier.schedule.inverse(lo)), x0) * deviation)


def edm_heun(converted: Converted, io: Io) -> Outputs:
    """EDM's deterministic sampler, 8 steps from sigma 80 to 0.002 and to zero."""
    latents = nhwc(io["in_latents"])
    levels = Karras(n_steps=8, sigma_min=0.002)(VE(), jnp.full(len(latents), 80.0))
    run = jax.jit(lambda denoise, x: solve(rows(len(x)), denoise, Heun(), x, levels))
    return {"sample": nchw(run(denoiser(converted), latents * levels[0][:, None, None, None]))}
