import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx


class TinyClassifier(nnx.Module):
    """A convolution of 8 x 8 images, batch statistics and a linear head: every kind of state a classifier has."""

    def __init__(self, rngs, n_features=8, norm=True):
        self.conv = nnx.Conv(1, n_features, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(n_features, rngs=rngs) if norm else None
        self.head = nnx.Linear(64 * n_features, 10, rngs=rngs)

    def __call__(self, x, *, train=False, dropout_keys=None):
        h = self.conv(x)
        h = h if self.norm is None else self.norm(h, use_running_average=not train)
        return self.head(nnx.relu(h).reshape(len(x), -1))


class TinyDenoiser(nnx.Module):
    """A linear network of the noised pixels and of the noise label."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(2, 1, (3, 3), rngs=rngs)

    def __call__(self, x, noise_label, *, dropout_keys=None):
        label = jnp.broadcast_to(noise_label[:, None, None, None], x.shape)
        return self.conv(jnp.concatenate([x, label], -1))


@pytest.fixture(scope="session")
def classifier():
    return lambda **options: TinyClassifier(nnx.Rngs(0), **options)


@pytest.fixture(scope="session")
def denoiser():
    return lambda: TinyDenoiser(nnx.Rngs(0))


@pytest.fixture(scope="session")
def tx():
    return optax.adam(1e-2)


@pytest.fixture
def batch():
    rng = np.random.RandomState(0)
    return {
        "image": rng.uniform(size=(16, 8, 8, 1)).astype(np.float32),
        "label": (np.arange(16) % 10).astype(np.int32),
        "id": np.arange(16, dtype=np.int32),
    }


@pytest.fixture
def arrays(batch):
    return jax.tree.map(jnp.asarray, batch)


@pytest.fixture
def keys():
    return jax.random.split(jax.random.key(3), 16)
