"""Published networks with formula weights, stored where configs look for them."""

import json

import jax.numpy as jnp
import numpy as np

from ssni_jax.convert import save_network
from ssni_jax.core.describe import describe
from ssni_jax.networks import Preprocessing
from ssni_jax.networks.network import abstract, flat
from ssni_jax.purify import Calibration
from tests.reference.case import weight


def store(network):
    """Stores a `Published` network as `ssni convert` would."""
    public = network.public
    shapes = flat(abstract(public.config.make)[1])
    arrays = {name: np.asarray(weight(name, tuple(leaf.shape)), leaf.dtype) for name, leaf in shapes.items()}
    role = "preprocessing" if isinstance(public.around, Preprocessing) else "coefficients"
    about = {"architecture": describe(public.config), role: describe(public.around), "family": public.family}
    network.path.parent.mkdir(parents=True, exist_ok=True)
    save_network(network.path, arrays, {"name": network.name, "licence": public.licence, **about})


def calibrate(network, deviation, norms=(100.0, 300.0)):
    """Stores reference norms beside a network, as `ssni calibrate` would."""
    calibration = Calibration.measured(deviation, norms, data="", images="made up")
    path = network.path.with_name(f"{network.path.name}.calibration.json")
    path.write_text(json.dumps(calibration.as_json()))


def fits(x):
    """Whether every number is finite."""
    return bool(jnp.isfinite(x).all())
