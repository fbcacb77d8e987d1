"""Laws of the ResNets."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ssni_jax.core.protocols import Classifier
from ssni_jax.networks import Network, ResNetConfig, abstract, flat, n_params
from ssni_jax.networks.resnet import Padded, block_shapes

CIFAR = ResNetConfig(block="basic", stages=(1, 2), width=4, stem="plain", shortcut="pad", n_classes=5, in_channels=1)
IMAGENET = ResNetConfig(stages=(1, 1), width=4, widen_factor=2, n_classes=5, in_channels=1)
PUBLISHED = {  # torchvision's counts, and table 6 of He et al. for CIFAR
    "resnet18": (ResNetConfig(block="basic", stages=(2, 2, 2, 2)), 11_689_512),
    "resnet50": (ResNetConfig(), 25_557_032),
    "wide_resnet50_2": (ResNetConfig(widen_factor=2), 68_883_240),
    "resnet20": (dataclasses.replace(CIFAR, stages=(3, 3, 3), width=16, n_classes=10, in_channels=3), 269_722),
}
X = jax.random.normal(jax.random.key(0), (4, 16, 16, 1))


@pytest.fixture(scope="module", params=[CIFAR, IMAGENET], ids=["cifar", "imagenet"])
def config(request) -> ResNetConfig:
    return request.param


@pytest.fixture(scope="module")
def network(config, filled) -> Network:
    return filled(config.make)


@jax.jit
def run(network, x):
    return network(x)


@jax.jit
def trained(network, x):
    """Logits of one training pass and the arrays it leaves behind."""
    module = nnx.merge(network.graphdef, network.state)
    logits = module(x, train=True)
    return logits, flat(nnx.split(module)[1])


def test_a_batch_is_a_bag_in_evaluation(network):
    """Row 0 becomes a copy of row 2: the other rows stay what they were, and equal rows give equal outputs."""
    one, other = run(network, X), run(network, X.at[0].set(X[2]))
    np.testing.assert_allclose(other, one[jnp.array([2, 1, 2, 3])], rtol=1e-4, atol=1e-5)


def test_training_moves_every_running_statistic_and_no_weight(network):
    before, (logits, after) = flat(network.state), trained(network, X)
    changed = {key for key in before if not np.array_equal(before[key], after[key])}
    assert changed == {key for key in before if key.endswith(("/mean", "/var"))}
    assert float(jnp.max(jnp.abs(logits - run(network, X)))) > 1e-2


def test_bfloat16_is_close_to_float32(config, network, filled):
    rough = filled(dataclasses.replace(config, dtype="bfloat16").make)
    exact, close = run(network, X), run(rough, X)
    assert close.dtype == jnp.float32
    assert 1e-5 < float(jnp.linalg.norm(exact - close) / jnp.linalg.norm(exact)) < 3e-2


def test_the_gradient_is_finite(network):
    slope = jax.jit(jax.grad(lambda x: jnp.sum(jnp.square(network(x)))))(jnp.zeros_like(X))
    assert bool(jnp.all(jnp.isfinite(slope))) and float(jnp.max(jnp.abs(slope))) > 0


def test_any_image_size_fits(network):
    assert jax.eval_shape(run, network, jnp.zeros((2, 23, 19, 1))).shape == (2, 5)
    assert isinstance(network, Classifier)


def test_option_a_keeps_every_second_pixel_between_zero_channels():
    x = jnp.arange(1.0, 33.0).reshape(1, 4, 4, 2)
    y = Padded(1, 2)(x)
    np.testing.assert_array_equal(y[..., 1:3], x[:, ::2, ::2])
    np.testing.assert_array_equal(y[..., ::3], 0)


def test_a_bottleneck_strides_in_its_3x3_convolution():
    block = IMAGENET.make(rngs=nnx.Rngs(0)).blocks["stage1_block0"]
    assert [conv.stride for conv in (block.conv0, block.conv1, block.conv2)] == [1, 2, 1]


def test_every_block_starts_where_the_last_one_ended():
    shapes = block_shapes(ResNetConfig())
    assert [shape.n_in for shape in shapes] == [64, *(shape.n_out for shape in shapes[:-1])]
    assert shapes[-1][1:] == (2048, 512, 2048, 1)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_networks_have_their_size(name):
    config, size = PUBLISHED[name]
    assert n_params(abstract(config.make)[1]) == size


def test_a_config_survives_json(config):
    assert ResNetConfig(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"block": "dense"}, "block is 'dense', but it must be one of basic, bottleneck"),
        ({"stem": "conv"}, "stem is 'conv', but it must be one of pool, plain"),
        ({"shortcut": "A"}, "shortcut is 'A', but it must be one of conv, pad"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"stages": (3, 0)}, r"stages \(3, 0\) leave nothing to compute"),
        ({"widen_factor": 2}, "basic blocks have no widen_factor 2"),
    ],
)
def test_an_impossible_config_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(CIFAR, **change)
