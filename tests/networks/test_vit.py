"""Laws of the vision transformer."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.protocols import Classifier
from ssni_jax.core.rng import sample_keys
from ssni_jax.networks import Network, abstract, flat, n_params, unflat
from ssni_jax.networks.layers import LayerNorm
from ssni_jax.networks.vit import VitConfig, patches

TINY = VitConfig(resolution=12, patch=4, width=16, depth=2, n_heads=2, mlp_width=24, n_classes=5, dropout=0.3)
X = jax.random.normal(jax.random.key(0), (4, 12, 12, 3))
SMALL, LARGE = {"width": 384, "n_heads": 6, "mlp_width": 1536}, {"width": 1024, "depth": 24, "n_heads": 16}


@pytest.fixture(scope="module")
def network(filled) -> Network:
    return filled(TINY.make)


@jax.jit
def run(network, x, **options):
    return network(x, **options)


def changed(network: Network, **arrays) -> Network:
    """The network with some of its arrays replaced; the names' "__" stand for "/"."""
    new = {**flat(network.state), **{name.replace("__", "/"): value for name, value in arrays.items()}}
    return Network(network.graphdef, unflat(network.state, new))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_a_layer_norm_standardises_the_last_axis(scale):
    y = np.asarray(LayerNorm(64, eps=0.0)(scale * (3 + jax.random.normal(jax.random.key(1), (2, 5, 64)))))
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(-1), 1, rtol=1e-4)


def test_the_eps_of_a_layer_norm_is_added_to_the_variance():
    x = jnp.array([[3.0, -3.0]])
    np.testing.assert_allclose(LayerNorm(2, eps=7.0)(x), [[0.75, -0.75]], rtol=1e-6)


def test_a_batch_is_a_bag(network):
    """Row 0 becomes a copy of row 2: the other rows stay what they were, and equal rows give equal outputs."""
    one, other = run(network, X), run(network, X.at[0].set(X[2]))
    np.testing.assert_allclose(other, one[jnp.array([2, 1, 2, 3])], rtol=1e-4, atol=1e-5)


def test_patches_are_squares_row_by_row():
    x = jnp.arange(2 * 8 * 8 * 3.0).reshape(2, 8, 8, 3)
    squares = patches(x, 4)
    np.testing.assert_array_equal(squares[1, 1].reshape(4, 4, 3), x[1, :4, 4:])
    np.testing.assert_array_equal(squares[1, 2].reshape(4, 4, 3), x[1, 4:, :4])


def test_a_linear_layer_on_patches_is_the_strided_convolution(network):
    kernel = flat(network.state)["embed/kernel"].reshape(4, 4, 3, 16)
    expected = jax.lax.conv_general_dilated(X, kernel, (4, 4), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    found = patches(X, 4) @ flat(network.state)["embed/kernel"]
    np.testing.assert_allclose(found, expected.reshape(4, 9, 16), atol=1e-4)


def test_without_positions_the_order_of_the_patches_does_not_matter(network):
    mixed = X.reshape(4, 3, 4, 12, 3)[:, ::-1].reshape(X.shape)
    assert float(jnp.max(jnp.abs(run(network, X) - run(network, mixed)))) > 1e-2
    unplaced = changed(network, positions=jnp.zeros((10, 16)))
    np.testing.assert_allclose(run(unplaced, X), run(unplaced, mixed), atol=1e-5)


def test_the_logits_are_read_from_the_class_token_alone(network):
    """Without attention nothing flows between tokens, and the image cannot reach the class token."""
    silent = {f"blocks__block{i}__proj__kernel": jnp.zeros((16, 16)) for i in (0, 1)}
    logits = run(changed(network, **silent), X)
    np.testing.assert_array_equal(logits, jnp.broadcast_to(logits[:1], logits.shape))


def test_training_without_dropout_is_evaluation(network):
    np.testing.assert_array_equal(run(network, X), jax.jit(lambda n, x: n(x, train=True))(network, X))


def test_dropout_needs_keys_and_is_drawn_per_row(network):
    keys = sample_keys(jax.random.key(1), jnp.arange(4))
    one, other = (run(network, X, dropout_keys=k) for k in (keys, keys.at[1].set(jax.random.key(9))))
    np.testing.assert_array_equal(jnp.max(jnp.abs(one - other), 1) > 0, [False, True, False, False])
    assert float(jnp.max(jnp.abs(one - run(network, X)))) > 1e-3


def test_bfloat16_is_close_to_float32(network, filled):
    rough = filled(dataclasses.replace(TINY, dtype="bfloat16").make)
    exact, close = run(network, X), run(rough, X)
    assert close.dtype == jnp.float32
    assert 1e-5 < float(jnp.linalg.norm(exact - close) / jnp.linalg.norm(exact)) < 3e-2


def test_the_gradient_is_finite(network):
    slope = jax.grad(lambda x: jnp.sum(jnp.square(run(network, x))))(jnp.zeros_like(X))
    assert bool(jnp.all(jnp.isfinite(slope))) and float(jnp.max(jnp.abs(slope))) > 0


@pytest.mark.parametrize(
    ("change", "n"),
    [
        ({}, 86_567_656),
        pytest.param(SMALL, 22_050_664, marks=pytest.mark.slow),
        pytest.param({**LARGE, "mlp_width": 4096}, 304_326_632, marks=pytest.mark.slow),
        ({**SMALL, "distilled": True}, 22_436_432),
        ({"patch": 32}, 88_224_232),
    ],
)
def test_released_networks_have_their_published_sizes(change, n):
    assert n_params(abstract(VitConfig(**change).make)[1]) == n


def test_the_full_network_lowers_for_tpu_and_gpu():
    network = Network(*abstract(VitConfig(depth=2, dtype="bfloat16").make))
    images = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
    exported = jax.export.export(jax.jit(lambda n, x: n(x)), platforms=("tpu", "cuda"))(network, images)
    assert exported.out_avals[0].shape == (2, 1000)


def test_a_vit_is_a_classifier_of_one_image_size(network):
    assert isinstance(network, Classifier)
    with pytest.raises(ValueError, match="images are 8x8, the network takes 12x12: resize them first"):
        network(jnp.zeros((1, 8, 8, 3)))


def test_a_config_survives_json():
    assert VitConfig(**json.loads(json.dumps(dataclasses.asdict(TINY)))) == TINY


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"patch": 5}, "patches of 5 do not tile 12 pixels: choose a divisor"),
        ({"n_heads": 3}, "n_heads=3 does not divide the width 16: choose a divisor"),
        ({"n_heads": 0}, "n_heads=0 does not divide the width 16"),
    ],
)
def test_an_impossible_config_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(TINY, **change)
