"""What method cases share: their network in memory, their layout, and a purifier run on their noise."""

from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.convert.family import Converted
from ssni_jax.core.protocols import Purified
from ssni_jax.networks import IddpmCoefficients, Preconditioned
from ssni_jax.purify import Purifier
from ssni_jax.recipes.released import TABLE
from tests.reference.methods.recorded import purification, recorded, rows
from tests.reference.networks import network

Outputs = dict[str, np.ndarray]
Io = Mapping[str, np.ndarray]


def nhwc(x: np.ndarray) -> jax.Array:
    return jnp.asarray(np.moveaxis(x, -3, -1))


def nchw(x: jax.Array) -> np.ndarray:
    return np.moveaxis(np.asarray(x), -1, -3)


def denoiser(converted: Converted) -> Preconditioned:
    """The network with the coefficients of its family."""
    return Preconditioned(network(converted), converted.around)


def by_index(converted: Converted) -> Preconditioned:
    """The network told the integer index of the table, whatever it was trained with."""
    return Preconditioned(network(converted), IddpmCoefficients(TABLE))


def purified(purifier: Purifier, x: jax.Array, noise: jax.Array, steps: Iterable[int]) -> Purified:
    """The purifier's run on images in [0, 1], with the recorded noise in the order in which it draws."""
    with recorded(noise, purification(steps)):
        return jax.jit(lambda purifier, x: purifier.run(rows(len(x)), x))(purifier, x)
