"""Laws of the building blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ssni_jax.core.rng import sample_keys
from ssni_jax.networks.layers import (
    Conv,
    GroupNorm,
    SelfAttention,
    downsample,
    dropout,
    max_pool,
    positional_embedding,
    upsample,
)


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(3).standard_normal(shape), jnp.float32)


def test_a_strided_conv_pads_as_torch_does():
    """At stride 2 the first window is centred on pixel 0; "SAME" would centre it on pixel 1."""
    conv = Conv(1, 1, 3, stride=2, rngs=nnx.Rngs(0))
    conv.kernel[...] = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0)
    x = normal(2, 8, 8, 1)
    np.testing.assert_allclose(conv(x), x[:, ::2, ::2], rtol=1e-6)


@pytest.mark.parametrize("n", [8, 256])
def test_group_norm_standardises_every_group(n):
    x = 3 + 2 * normal(2, 4, 4, n)
    n_groups = min(32, n // 4)
    groups = np.asarray(jax.jit(GroupNorm(n, eps=0.0).__call__)(x)).reshape(2, 16, n_groups, -1)
    np.testing.assert_allclose(groups.mean((1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(groups.var((1, 3)), 1, rtol=1e-5)


def test_group_norm_survives_a_large_mean():
    """Variance as E x^2 - (E x)^2 would lose all digits here."""
    x = 1e4 + normal(1, 8, 8, 8)
    assert abs(np.std(jax.jit(GroupNorm(8).__call__)(x)) - 1) < 1e-3


def test_group_norm_refuses_uneven_groups():
    with pytest.raises(ValueError, match="130 channels do not divide into 32 groups"):
        GroupNorm(130)


def test_constant_attention_returns_the_mean_value():
    """With equal keys every position attends to all others alike."""
    layer = SelfAttention(8, rngs=nnx.Rngs(0), n_heads=2)
    layer.qkv.kernel[...] = jnp.concatenate([jnp.zeros((8, 16)), jnp.eye(8)], 1)
    layer.proj.kernel[...] = jnp.eye(8)
    x = normal(2, 4, 4, 8)
    found, normed = jax.jit(lambda x: (layer(x), layer.norm(x)))(x)
    expected = np.broadcast_to(np.mean(normed, (1, 2), keepdims=True), x.shape)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_positional_embedding_is_sines_then_cosines():
    emb = positional_embedding(jnp.array([0.0, 2.0]), 6)
    np.testing.assert_allclose(emb[0], [0, 0, 0, 1, 1, 1], atol=1e-7)
    np.testing.assert_allclose(emb[1], [f(2 * w) for f in (np.sin, np.cos) for w in (1, 1e-2, 1e-4)], rtol=1e-6)


def test_box_resampling_averages_and_repeats():
    x = normal(2, 4, 4, 3)
    lower, higher = jax.jit(lambda x: (downsample(x, (1, 1)), upsample(x, (1, 1))))(x)
    x = np.asarray(x)
    np.testing.assert_allclose(lower, x.reshape(2, 2, 2, 2, 2, 3).mean((2, 4)), atol=1e-6)
    np.testing.assert_allclose(higher, x.repeat(2, 1).repeat(2, 2), atol=1e-6)


@pytest.mark.parametrize("taps", [(1, 1), (1, 3, 3, 1), (1, 2, 3, 4)])
def test_upsampling_is_four_times_the_transpose_of_downsampling(taps):
    small, large = normal(1, 4, 4, 2), normal(1, 8, 8, 2) + 1
    lower, higher = jax.jit(lambda small, large: (downsample(large, taps), upsample(small, taps)))(small, large)
    np.testing.assert_allclose(4 * np.vdot(lower, small), np.vdot(large, higher), rtol=1e-5)


def test_fir_downsampling_is_the_filter_at_every_second_pixel():
    row = np.zeros((1, 8, 8, 1), np.float32)
    row[0, 3, :, 0] = np.arange(8)
    taps, padded = np.array([1, 3, 3, 1]) / 8, np.pad(np.arange(8), 1)
    expected = [taps @ padded[i : i + 4] for i in (0, 2, 4, 6)]
    lower = np.asarray(jax.jit(lambda x: downsample(x, (1, 3, 3, 1)))(row))
    np.testing.assert_allclose(lower.sum(1)[0, :, 0], np.array(expected) / 2)


def test_dropout_keeps_the_mean_and_each_row_follows_its_key():
    keys, x = sample_keys(jax.random.key(0), jnp.arange(4)), jnp.ones((4, 16, 16, 8))
    dropped = jax.jit(lambda x, keys: dropout(x, 0.25, keys))
    y = np.asarray(dropped(x, keys))
    assert abs(np.mean(y == 0) - 0.25) < 0.02
    assert abs(np.mean(y) - 1) < 0.03
    np.testing.assert_array_equal(y[2:3], dropped(x[:1], keys[2:3]))
    assert not np.array_equal(y[0], y[1])


def test_dropout_without_keys_is_the_identity():
    x = jnp.ones((2, 4, 4, 1))
    assert dropout(x, 0.5, None) is x


def test_max_pooling_sees_no_padding_and_ceil_keeps_the_window_that_leaves_the_map():
    x = -jnp.arange(1.0, 37.0).reshape(1, 6, 6, 1)
    assert max_pool(x, 3, 2).shape == (1, 2, 2, 1)
    np.testing.assert_array_equal(
        max_pool(x, 3, 2, ceil=True)[0, :, :, 0], -np.array([[1, 3, 5], [13, 15, 17], [25, 27, 29]])
    )
    np.testing.assert_array_equal(
        max_pool(x, 3, 2, padding=1)[0, :, :, 0], -np.array([[1, 2, 4], [7, 8, 10], [19, 20, 22]])
    )
