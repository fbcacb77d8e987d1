"""Laws of the WideResNet."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ssni_jax.core.protocols import Classifier
from ssni_jax.core.rng import sample_keys
from ssni_jax.networks import Network, WideResNetConfig, abstract, flat, n_params, unflat
from ssni_jax.networks.wide_resnet import ResidualBlock

TINY = WideResNetConfig(depth=10, widen_factor=1, in_channels=1, dropout=0.3)
X = jax.random.uniform(jax.random.key(0), (4, 8, 8, 1))


@pytest.fixture(scope="module")
def network(filled) -> Network:
    return filled(TINY.make)


@jax.jit
def run(network, x, **options):
    return network(x, **options)


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


def test_training_moves_the_running_statistics_towards_the_batch(network):
    before, after = flat(network.state), trained(network, X)[1]
    hidden = np.asarray(nnx.merge(network.graphdef, network.state).conv(X))
    mean, var = hidden.mean((0, 1, 2)), hidden.reshape(-1, 16).var(0, ddof=1)
    for name, target in (("mean", mean), ("var", var)):
        key = f"blocks/block0/norm0/{name}"
        np.testing.assert_allclose(after[key], 0.9 * before[key] + 0.1 * target, rtol=1e-4, atol=1e-5)
    changed = {key for key in before if not np.array_equal(before[key], after[key])}
    assert changed == {
        key for key in before if key.endswith(("norm/mean", "norm/var", "0/mean", "1/mean", "0/var", "1/var"))
    }


def test_evaluation_leaves_the_module_alone(network):
    @jax.jit
    def after(network):
        module = nnx.merge(network.graphdef, network.state)
        module(X)
        return flat(nnx.state(module))

    before = flat(network.state)
    assert all(np.array_equal(value, before[key]) for key, value in after(network).items())


def test_training_normalises_by_the_batch_and_evaluation_does_not(network):
    assert float(jnp.max(jnp.abs(trained(network, X)[0] - run(network, X)))) > 1e-2


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


def test_where_the_width_changes_the_shortcut_starts_from_the_activation():
    block = ResidualBlock(TINY, 1, 2, 1, rngs=nnx.Rngs(0))
    assert block.shortcut is not None
    block.conv1.kernel[...] = jnp.zeros((3, 3, 2, 2))
    block.shortcut.kernel[...] = jnp.array([1.0, -1.0]).reshape(1, 1, 1, 2)
    x = jnp.linspace(-1, 1, 16).reshape(1, 4, 4, 1)
    active = jax.nn.relu(x)
    np.testing.assert_allclose(block(x), jnp.concatenate([active, -active], -1), rtol=1e-4)


@pytest.mark.parametrize(("padding", "first"), [("both", 0), ("end", 1)])
def test_zeros_stand_where_the_padding_says(padding, first):
    """The centre tap of a stride-2 convolution starts on pixel 0 with zeros on both sides, else on pixel 1."""
    block = ResidualBlock(dataclasses.replace(TINY, padding=padding), 1, 2, 2, rngs=nnx.Rngs(0))
    assert block.shortcut is not None
    block.shortcut.kernel[...] = jnp.zeros((1, 1, 1, 2))
    for conv, n_in in ((block.conv0, 1), (block.conv1, 2)):
        conv.kernel[...] = jnp.zeros((3, 3, n_in, 2)).at[1, 1, 0, 0].set(1.0)
    x = jnp.arange(1.0, 17.0).reshape(1, 4, 4, 1)
    np.testing.assert_allclose(block(x)[..., :1], x[:, first::2, first::2], rtol=1e-4)


@pytest.mark.parametrize(("to_conv1", "to_shortcut", "expected"), [(0.0, 1.0, -0.26894), (1.0, 0.0, -0.11650)])
def test_swish_takes_the_place_of_every_relu_of_a_block(to_conv1, to_shortcut, expected):
    """Of -1 swish makes -0.26894, and of that -0.11650."""
    block = ResidualBlock(dataclasses.replace(TINY, activation="swish"), 1, 2, 1, rngs=nnx.Rngs(0))
    assert block.shortcut is not None
    block.conv0.kernel[...] = jnp.zeros((3, 3, 1, 2)).at[1, 1].set(1.0)
    block.conv1.kernel[...] = jnp.zeros((3, 3, 2, 2)).at[1, 1].set(to_conv1 / 2)
    block.shortcut.kernel[...] = jnp.full((1, 1, 1, 2), to_shortcut)
    np.testing.assert_allclose(block(-jnp.ones((1, 2, 2, 1))), jnp.full((1, 2, 2, 2), expected), rtol=1e-4)


def test_swish_takes_the_place_of_the_last_relu(network, filled):
    dead = {"norm/scale": jnp.zeros(64), "norm/bias": -jnp.ones(64)}
    swish = filled(dataclasses.replace(TINY, activation="swish").make)
    for each, value in ((network, 0.0), (swish, -0.26894)):
        arrays = flat(each.state) | dead
        expected = value * jnp.sum(arrays["head/kernel"], 0) + arrays["head/bias"]
        logits = run(Network(each.graphdef, unflat(each.state, arrays)), X)
        np.testing.assert_allclose(logits, jnp.broadcast_to(expected, (4, 10)), rtol=1e-3, atol=1e-5)


def test_any_image_size_fits(network):
    assert jax.eval_shape(run, network, jnp.zeros((2, 32, 32, 1))).shape == (2, 10)
    assert isinstance(network, Classifier)


def test_wrn_28_10_has_the_published_size():
    assert n_params(abstract(WideResNetConfig().make)[1]) == 36_479_194


def test_a_config_survives_json():
    assert WideResNetConfig(**json.loads(json.dumps(dataclasses.asdict(TINY)))) == TINY


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"depth": 12}, "cannot have depth 12: use 6 n \\+ 4"),
        ({"activation": "gelu"}, "activation is 'gelu', but it must be one of relu, swish"),
        ({"padding": "same"}, "padding is 'same', but it must be one of both, end"),
    ],
)
def test_an_impossible_config_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(TINY, **change)
