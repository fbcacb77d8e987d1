"""Laws of gradients in less memory."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.describe import describe, rebuild
from ssni_jax.core.rng import sample_keys
from ssni_jax.networks import AdmUNetConfig, SongUNetConfig, abstract, song_unet
from ssni_jax.networks.remat import REMAT, remembering

SHAPE = {"resolution": 8, "in_channels": 1, "out_channels": 1, "model_channels": 8, "channel_mult": (1,)}
CONFIGS = [
    SongUNetConfig(**SHAPE, num_blocks=1, attn_resolutions=(8,), dropout=0.3),
    AdmUNetConfig(**SHAPE, num_blocks=1, attn_resolutions=(8,), num_head_channels=4, dropout=0.3),
]
X = jax.random.normal(jax.random.key(0), (4, 8, 8, 1))
KEYS = sample_keys(jax.random.key(1), jnp.arange(4))


def loss(network, x):
    return jnp.mean(jnp.square(network(x, jnp.ones(len(x)), dropout_keys=KEYS)))


def remembered(network, x):
    """Bytes of what the backward pass is given by the forward pass."""
    backward = jax.eval_shape(lambda network, x: jax.vjp(loss, network, x)[1], network, x)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(backward))


def test_a_block_has_the_same_value_and_gradient(filled):
    stage = next(stage for stage in song_unet.encoder_stages(CONFIGS[0]) if stage.attention)
    block = filled(lambda rngs: song_unet.SongBlock(stage, CONFIGS[0], rngs=rngs))
    x, emb = jnp.ones((2, 8, 8, 8)) * X[:2], jnp.ones((2, 32))

    def value(block, x, remat):
        return jnp.mean(jnp.square(remembering(remat, block)(x, emb, KEYS[:2])))

    gradient = jax.jit(jax.value_and_grad(value, argnums=(0, 1)), static_argnums=2)
    none, *others = (gradient(block, x, remat) for remat in REMAT)
    for other in others:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), other, none)


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=["song", "adm"])
def test_values_and_gradients_are_the_same(config, filled):
    found = {}
    for remat in REMAT:
        network = filled(dataclasses.replace(config, remat=remat).make)
        found[remat] = jax.jit(jax.value_and_grad(loss))(network, X)
    for remat in ("blocks", "dots"):
        for one, other in zip(jax.tree.leaves(found[remat]), jax.tree.leaves(found["none"]), strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=["song", "adm"])
def test_a_deeper_network_remembers_less_by_the_block(config, filled):
    """The backward pass of "blocks" is given little more than a block's input each; XLA decides what it makes of it."""
    deep = dataclasses.replace(config, num_blocks=3, attn_resolutions=())
    none, blocks, dots = (remembered(filled(dataclasses.replace(deep, remat=remat).make), X) for remat in REMAT)
    assert blocks < 0.6 * dots < 0.6 * 0.6 * none


@pytest.mark.parametrize("config", CONFIGS, ids=["song", "adm"])
def test_an_architecture_stored_before_there_was_a_choice_remembers_everything(config):
    stored = {name: value for name, value in describe(config).items() if name != "remat"}
    assert rebuild(stored, {type(config).__name__: type(config)}) == config
    assert config.remat == "none"


def test_the_choice_changes_no_parameter():
    shapes = [abstract(dataclasses.replace(CONFIGS[0], remat=remat).make)[1] for remat in REMAT]
    assert all(jax.tree.all(jax.tree.map(lambda a, b: a.shape == b.shape, shapes[0], other)) for other in shapes[1:])


def test_an_unknown_choice_is_named():
    with pytest.raises(ValueError, match="remat is 'all', but it must be one of none, blocks, dots"):
        dataclasses.replace(CONFIGS[0], remat="all")
