"""Laws of SqueezeNet and of the backbones that LPIPS shares with torchvision."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ssni_jax.core.protocols import Classifier
from ssni_jax.networks import SqueezeNetConfig, abstract, n_params
from ssni_jax.networks.backbones import STACKS, Backbone, layers_of, widths

SMALL = SqueezeNetConfig(n_classes=7)
X = jax.random.normal(jax.random.key(0), (3, 32, 32, 3))
SIDES = {  # of torchvision's features on images of 224
    "alex": [55, 27, 13, 13, 13],
    "vgg": [224, 112, 56, 28, 14],
    "squeeze": [111, 55, 27, 13, 13, 13, 13],
}


@pytest.fixture(scope="module")
def network(filled):
    return filled(SMALL.make)


@jax.jit
def run(network, x):
    return network(x)


def taps_of(name: str, side: int) -> list[tuple[int, ...]]:
    graph, state = abstract(lambda rngs: Backbone(name, rngs=rngs))
    x = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return [tap.shape for tap in jax.eval_shape(lambda state, x: nnx.merge(graph, state)(x), state, x)]


def test_a_batch_is_a_bag(network):
    np.testing.assert_allclose(run(network, X)[1:2], run(network, X[1:2]), rtol=1e-4, atol=1e-5)
    assert isinstance(network, Classifier)


def test_scores_are_rectified_before_the_average(network):
    logits = np.asarray(run(network, X))
    assert logits.shape == (3, 7) and logits.min() >= 0 and logits.max() > 0


def test_bfloat16_is_close_to_float32(network, filled):
    rough = filled(dataclasses.replace(SMALL, dtype="bfloat16").make)
    exact, close = run(network, X), run(rough, X)
    assert close.dtype == jnp.float32
    assert 1e-5 < float(jnp.linalg.norm(exact - close) / jnp.linalg.norm(exact)) < 3e-2


def test_the_published_network_has_its_size():
    assert n_params(abstract(SqueezeNetConfig().make)[1]) == 1_235_496


@pytest.mark.parametrize("name", STACKS)
def test_features_have_the_sizes_of_torchvision(name):
    assert taps_of(name, 224) == [(1, side, side, n) for side, n in zip(SIDES[name], widths(STACKS[name]), strict=True)]


@pytest.mark.parametrize("name", STACKS)
def test_the_smallest_image_leaves_something_and_a_smaller_one_is_refused(name):
    smallest = STACKS[name].smallest
    assert min(min(shape) for shape in taps_of(name, smallest)) == 1
    with pytest.raises(ValueError, match=f"{name} cannot see images of {smallest - 1} x {smallest - 1}"):
        taps_of(name, smallest - 1)


@pytest.mark.parametrize(
    ("name", "indices"),
    [("alex", [0, 3, 6, 8, 10]), ("vgg", [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28])],
)
def test_layers_know_their_index_in_torchvision(name, indices):
    assert [each.index for each in layers_of(STACKS[name])] == indices


def test_a_config_survives_json_and_a_bad_type_is_refused():
    assert SqueezeNetConfig(**json.loads(json.dumps(dataclasses.asdict(SMALL)))) == SMALL
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        SqueezeNetConfig(dtype="int8")
