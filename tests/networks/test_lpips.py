"""Laws of the perceptual distance."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.networks import LpipsConfig, Network, abstract, flat, n_params, unflat
from ssni_jax.networks.lpips import Head, unit

SMALL = LpipsConfig("squeeze")
A, B = jax.random.uniform(jax.random.key(0), (2, 3, 24, 24, 3), minval=-1, maxval=1)


@pytest.fixture(scope="module")
def network(filled):
    return with_arrays(filled(SMALL.make), heads=np.abs)


def with_arrays(network: Network, **changes) -> Network:
    """The network with `change(array)` for every parameter whose key begins with a change's name."""
    arrays = flat(network.state)
    changed = {k: changes.get(k.split("/")[0], lambda array: array)(np.asarray(array)) for k, array in arrays.items()}
    return Network(network.graphdef, unflat(network.state, changed))


@jax.jit
def run(network, a, b):
    return network(a, b)


@jax.jit
def slope(network, a, b):
    return jax.grad(lambda a: jnp.sum(network(a, b)))(a)


def test_an_image_is_at_no_distance_from_itself_and_at_some_from_others(network):
    np.testing.assert_allclose(run(network, A, A), 0, atol=1e-10)
    assert float(jnp.min(run(network, A, B))) > 1e-3


def test_the_distance_is_symmetric_and_grows_with_noise(network):
    np.testing.assert_allclose(run(network, A, B), run(network, B, A), rtol=1e-5)
    near, far = run(network, A, A + 0.05 * B), run(network, A, A + 0.5 * B)
    assert bool(jnp.all(near < far))


def test_a_batch_is_a_bag(network):
    """Row 0 becomes a copy of row 2: the other rows stay what they were, and equal rows give equal distances."""
    one, other = run(network, A, B), run(network, A.at[0].set(A[2]), B.at[0].set(B[2]))
    np.testing.assert_allclose(other, one[jnp.array([2, 1, 2])], rtol=1e-4)


def test_heads_weigh_the_squared_difference_and_positions_count_alike():
    head = Head(2)
    head.kernel[...] = jnp.array([[1.0], [10.0]])
    u = jnp.zeros((1, 1, 2, 2)).at[0, 0, 0].set(jnp.array([3.0, 1.0]))
    np.testing.assert_allclose(head(u, jnp.zeros_like(u)), [(9 + 10) / 2])


def test_features_have_unit_length_and_zeros_stay_zero():
    x = jnp.array([[3.0, -4.0], [3e-10, -4e-10], [0.0, 0.0]])
    np.testing.assert_allclose(unit(x), [[0.6, -0.8], [0.5, -2 / 3], [0, 0]], rtol=1e-5)


def test_the_gradient_is_finite_where_features_vanish(network):
    assert bool(jnp.all(jnp.isfinite(jax.grad(lambda x: jnp.sum(unit(x)))(jnp.zeros((1, 2))))))
    dead = with_arrays(network, backbone=np.zeros_like)
    assert bool(jnp.all(jnp.isfinite(slope(dead, A, B))))
    assert bool(jnp.all(jnp.isfinite(slope(network, A, A))))
    assert float(jnp.max(jnp.abs(slope(network, A, B)))) > 0


def test_resizing_inside_is_bilinear_resizing_outside(network, filled):
    inside = with_arrays(filled(dataclasses.replace(SMALL, size=24).make), heads=np.abs)
    a, b = A[:, ::2, ::2], B[:, ::2, ::2]
    large = [jax.image.resize(x, A.shape, "linear") for x in (a, b)]
    np.testing.assert_allclose(run(inside, a, b), run(network, *large), rtol=1e-4)


@pytest.mark.slow
def test_bfloat16_is_close_to_float32(network, filled):
    rough = with_arrays(filled(dataclasses.replace(SMALL, dtype="bfloat16").make), heads=np.abs)
    exact, close = run(network, A, B), run(rough, A, B)
    assert close.dtype == jnp.float32
    assert 1e-6 < float(jnp.linalg.norm(exact - close) / jnp.linalg.norm(exact)) < 3e-2


@pytest.mark.parametrize(("backbone", "size"), [("alex", 2_470_848), ("vgg", 14_716_160), ("squeeze", 724_736)])
def test_the_released_distances_have_their_size(backbone, size):
    assert n_params(abstract(LpipsConfig(backbone).make)[1]) == size


def test_a_config_survives_json():
    config = LpipsConfig("alex", size=64)
    assert LpipsConfig(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"backbone": "resnet"}, "backbone is 'resnet', but it must be one of alex, vgg, squeeze"),
        ({"dtype": "float64"}, "dtype is 'float64'"),
    ],
)
def test_an_impossible_config_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(SMALL, **change)
