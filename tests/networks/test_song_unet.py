"""Laws of the score networks."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.rng import sample_keys
from ssni_jax.networks import Network, SongUNetConfig, abstract, flat, n_params, song_unet, unflat

TINY = SongUNetConfig(
    resolution=8,
    in_channels=1,
    out_channels=1,
    model_channels=8,
    channel_mult=(1, 2),
    num_blocks=1,
    attn_resolutions=(4,),
    dropout=0.3,
)
NCSNPP = dataclasses.replace(
    TINY, embedding_type="fourier", channel_mult_noise=2, encoder_type="residual", resample_filter=(1, 3, 3, 1)
)
PROGRESSIVE = dataclasses.replace(NCSNPP, decoder_type="skip")
SKIPPING = dataclasses.replace(TINY, encoder_type="skip", decoder_type="skip")
X = jax.random.normal(jax.random.key(0), (3, 8, 8, 1))
LABEL = jnp.array([0.1, 1.0, 5.0])
KEYS = sample_keys(jax.random.key(1), jnp.arange(3))


@pytest.fixture(scope="module")
def network(filled) -> Network:
    return filled(TINY.make)


@jax.jit
def run(network, x, label, **conditions):
    return network(x, label, **conditions)


def test_a_batch_is_a_bag(network):
    """Row 0 becomes a copy of row 2: the other rows stay what they were, and equal rows give equal outputs."""
    one, other = run(network, X, LABEL), run(network, X.at[0].set(X[2]), LABEL.at[0].set(LABEL[2]))
    np.testing.assert_allclose(other, one[jnp.array([2, 1, 2])], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_dropout_needs_keys_and_is_drawn_per_row(network):
    other = KEYS.at[1].set(jax.random.key(7))
    one = run(network, X, LABEL, dropout_keys=KEYS)
    change = jnp.max(jnp.abs(one - run(network, X, LABEL, dropout_keys=other)), (1, 2, 3))
    np.testing.assert_array_equal(change > 0, [False, True, False])
    assert float(jnp.max(jnp.abs(one - run(network, X, LABEL)))) > 1e-2


def test_every_block_drops_by_keys_of_its_own(network, monkeypatch):
    used = []
    monkeypatch.setattr(song_unet, "dropout", lambda x, rate, keys: used.append(keys) or x)

    @jax.jit
    def keys_used(keys):
        network(X, LABEL, dropout_keys=keys)
        return jnp.stack([jax.random.key_data(k) for k in used])

    stages = (*song_unet.encoder_stages(TINY), *song_unet.decoder_stages(TINY))
    distinct = np.unique(np.asarray(keys_used(KEYS)).reshape(-1, 2), axis=0)
    assert len(distinct) == 3 * sum(stage.kind == "block" for stage in stages) == 30


def test_without_keys_no_block_drops(network, monkeypatch):
    """`dropout` without keys is the identity."""
    used = []
    monkeypatch.setattr(song_unet, "dropout", lambda x, rate, keys: used.append(keys) or x)
    jax.eval_shape(lambda x: network(x, LABEL), X)
    assert used == [None] * 10


@pytest.mark.slow
def test_bfloat16_is_close_to_float32(network, filled):
    rough = filled(dataclasses.replace(TINY, dtype="bfloat16").make)
    exact, close = run(network, X, LABEL), run(rough, X, LABEL)
    error = jnp.linalg.norm(exact - close) / jnp.linalg.norm(exact)
    assert close.dtype == jnp.float32
    assert 1e-5 < float(error) < 3e-2


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [PROGRESSIVE, pytest.param(NCSNPP, marks=pytest.mark.slow), pytest.param(SKIPPING, marks=pytest.mark.slow)],
    ids=["progressive", "ncsnpp", "skipping"],
)
def test_every_parameter_has_a_finite_gradient_and_matters(config, filled):
    conditions = {"class_labels": jnp.eye(3), "augment_labels": jnp.ones((3, 2))}
    conditioned = filled(dataclasses.replace(config, label_dim=3, augment_dim=2).make)
    slope = jax.jit(jax.grad(lambda network: jnp.sum(jnp.square(network(X, LABEL, **conditions)))))(conditioned)
    largest = {name: float(np.max(np.abs(leaf))) for name, leaf in flat(slope.state).items()}
    assert all(np.isfinite(v) and v > 0 for v in largest.values()), largest


@pytest.mark.slow
def test_a_skip_encoder_reads_the_image_at_every_level(filled):
    network = filled(dataclasses.replace(TINY, encoder_type="skip").make)
    arrays = flat(network.state)
    (kernel,) = (name for name in arrays if name.endswith("aux_skip/kernel"))
    blind = Network(network.graphdef, unflat(network.state, {**arrays, kernel: 0 * arrays[kernel]}))
    assert float(jnp.min(jnp.max(jnp.abs(run(network, X, LABEL) - run(blind, X, LABEL)), (1, 2, 3)))) > 1e-2


@pytest.mark.parametrize(
    ("encoder_type", "decoder_type"), [("standard", "skip"), ("skip", "standard"), ("residual", "skip")]
)
def test_deep_variants_return_the_shape_they_are_given(encoder_type, decoder_type):
    config = dataclasses.replace(TINY, channel_mult=(1, 3, 2), encoder_type=encoder_type, decoder_type=decoder_type)
    out = jax.eval_shape(run, Network(*abstract(config.make)), X, LABEL)
    assert (out.shape, out.dtype) == (X.shape, jnp.float32)


def test_absent_labels_are_zeros(filled):
    config = dataclasses.replace(TINY, label_dim=3, augment_dim=2)
    embed = filled(lambda rngs: song_unet.SongEmbedding(config, rngs=rngs))
    zeros = run(embed, LABEL, jnp.zeros((3, 3)), augment_labels=jnp.zeros((3, 2)))
    np.testing.assert_allclose(run(embed, LABEL, None, augment_labels=None), zeros, atol=1e-6)
    assert float(jnp.max(jnp.abs(run(embed, LABEL, jnp.eye(3), augment_labels=jnp.zeros((3, 2))) - zeros))) > 1e-2


@pytest.mark.parametrize(
    ("config", "published"),
    [
        pytest.param(SongUNetConfig(resolution=32, num_blocks=8), 106_632_579, marks=pytest.mark.slow),
        (SongUNetConfig(resolution=32, channel_mult=(2, 2, 2), augment_dim=9), 55_733_891),
    ],
    ids=["score_sde DDPM++ deep", "EDM DDPM++"],
)
def test_the_published_configurations_have_the_published_size(config, published):
    assert n_params(abstract(config.make)[1]) == published


def test_a_config_survives_json():
    assert SongUNetConfig(**json.loads(json.dumps(dataclasses.asdict(NCSNPP)))) == NCSNPP


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"encoder_type": "dense"}, "encoder_type is 'dense', but it must be one of standard, skip, residual"),
        ({"resolution": 9}, "resolution 9 cannot be halved 1 times"),
        ({"model_channels": 6}, "model_channels is 6"),
        ({"resample_filter": (1, 2, 1)}, "odd length"),
    ],
)
def test_an_impossible_config_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(TINY, **change)
