"""Published networks with formula weights, stored where configs look for them."""

import json

import numpy as np

from ssni_jax.convert import save_network
from ssni_jax.core.describe import describe
from ssni_jax.networks.classifier import role_of
from ssni_jax.networks.network import abstract, flat
from ssni_jax.purify import Calibration
from tests.reference.case import flax_weight


def store(network):
    """Stores a `Published` network with formula weights, as `ssni convert` would."""
    public = network.public
    shapes = flat(abstract(public.config.make)[1])
    arrays = {name: filled(name, tuple(leaf.shape)).astype(leaf.dtype) for name, leaf in shapes.items()}
    role = role_of(public.config, public.around)
    about = {"architecture": describe(public.config), role: describe(public.around), "family": public.family}
    save_network(network.path, arrays, {"name": network.name, "licence": public.licence, **about})


def calibrate(file, deviation, norms=(100.0, 300.0)):
    """Writes reference norms, as `ssni calibrate` would."""
    calibration = Calibration.measured(deviation, norms, data="", images="made up")
    file.write_text(json.dumps(calibration.as_json()))


def filled(name, shape):
    """The array that stands for a parameter of ours; variances are positive."""
    array = flax_weight(name, shape)
    return 0.75 + 0.25 * np.abs(array) if name.endswith("/var") else array
