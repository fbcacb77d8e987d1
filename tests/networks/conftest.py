"""Networks with weights that are cheap to make and big enough to be seen."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.networks import Network, abstract, flat, unflat


def drawn(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    z = rng.standard_normal(shape).astype(np.float32)
    if name.endswith(("scale", "var")):
        return 1 + 0.1 * abs(z)
    return z * np.sqrt(2 / np.prod(shape[:-1])) if len(shape) > 1 else 0.1 * z


@pytest.fixture(scope="session")
def filled() -> Callable[..., Network]:
    """`make(rngs=...)` to a Network with every weight drawn at its natural scale, last layers included."""

    def fill(make) -> Network:
        graphdef, shapes = abstract(make)
        rng = np.random.default_rng(0)
        arrays = {name: jnp.asarray(drawn(name, leaf.shape, rng)) for name, leaf in flat(shapes).items()}
        return Network(graphdef, unflat(shapes, arrays))

    return fill
