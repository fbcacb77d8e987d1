"""Laws of ADM's U-Net."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.rng import sample_keys
from ssni_jax.networks import Network, abstract, adm_unet, flat, make_rngs, n_params
from ssni_jax.networks.adm_unet import AdmUNetConfig, decoder_stages, encoder_stages, timestep_embedding

TINY = AdmUNetConfig(
    resolution=8,
    in_channels=1,
    out_channels=2,
    model_channels=8,
    channel_mult=(0.5, 1),
    num_blocks=1,
    attn_resolutions=(4,),
    num_head_channels=4,
    min_group=2,
    dropout=0.3,
)
PLAIN = dataclasses.replace(TINY, conditioning="additive", resampling="conv", num_heads=4)
CLASSES = dataclasses.replace(TINY, label_dim=3)
X = jax.random.normal(jax.random.key(0), (3, 8, 8, 1))
LABEL = jnp.array([0.0, 17.0, 999.0])
KEYS = sample_keys(jax.random.key(1), jnp.arange(3))


@pytest.fixture(scope="module")
def network(filled) -> Network:
    return filled(TINY.make)


@jax.jit
def run(network, x, label, **conditions):
    return network(x, label, **conditions)


@pytest.mark.slow
def test_a_batch_is_a_bag(network):
    """Row 0 becomes a copy of row 2: the other rows stay what they were, and equal rows give equal outputs."""
    one, other = run(network, X, LABEL), run(network, X.at[0].set(X[2]), LABEL.at[0].set(LABEL[2]))
    np.testing.assert_allclose(other, one[jnp.array([2, 1, 2])], rtol=1e-4, atol=1e-5)


def test_other_image_sizes_fit(network):
    assert jax.eval_shape(run, network, jnp.ones((1, 12, 10, 1)), LABEL[:1]).shape == (1, 12, 10, 2)


def test_the_time_embedding_is_cosines_then_sines_without_the_last_frequency():
    emb = timestep_embedding(jnp.array([0.0, 2.0]), 4)
    np.testing.assert_allclose(emb[0], [1, 1, 0, 0], atol=1e-7)
    np.testing.assert_allclose(emb[1], [f(2 * w) for f in (np.cos, np.sin) for w in (1, 1e-2)], rtol=1e-6)


@pytest.mark.slow
def test_a_new_network_predicts_zero():
    config = dataclasses.replace(TINY, channel_mult=(1,))
    fresh = jax.jit(lambda: config.make(rngs=make_rngs(jax.random.key(0)))(X, LABEL))()
    np.testing.assert_array_equal(fresh, jnp.zeros((3, 8, 8, 2)))


@pytest.mark.slow
def test_dropout_needs_keys_and_is_drawn_per_row(network):
    other = KEYS.at[1].set(jax.random.key(7))
    one = run(network, X, LABEL, dropout_keys=KEYS)
    change = jnp.max(jnp.abs(one - run(network, X, LABEL, dropout_keys=other)), (1, 2, 3))
    np.testing.assert_array_equal(change > 0, [False, True, False])
    assert float(jnp.max(jnp.abs(one - run(network, X, LABEL)))) > 1e-2


def test_every_block_drops_by_keys_of_its_own(network, monkeypatch):
    used = []
    monkeypatch.setattr(adm_unet, "dropout", lambda x, rate, keys: used.append(keys) or x)

    @jax.jit
    def keys_used(keys):
        network(X, LABEL, dropout_keys=keys)
        return jnp.stack([jax.random.key_data(k) for k in used])

    stages = (*encoder_stages(TINY), *decoder_stages(TINY))
    distinct = np.unique(np.asarray(keys_used(KEYS)).reshape(-1, 2), axis=0)
    assert len(distinct) == 3 * sum(stage.kind == "block" for stage in stages) == 30


@pytest.mark.slow
def test_bfloat16_is_close_to_float32(network, filled):
    rough = filled(dataclasses.replace(TINY, dtype="bfloat16").make)
    exact, close = run(network, X, LABEL), run(rough, X, LABEL)
    error = jnp.linalg.norm(exact - close) / jnp.linalg.norm(exact)
    assert close.dtype == jnp.float32
    assert 1e-5 < float(error) < 3e-2


@pytest.mark.parametrize("config", [TINY, pytest.param(PLAIN, marks=pytest.mark.slow)], ids=["scale_shift", "additive"])
def test_every_parameter_has_a_finite_gradient_and_matters(config, filled):
    conditions = {"class_labels": jnp.eye(3), "augment_labels": jnp.ones((3, 2))}
    conditioned = filled(dataclasses.replace(config, label_dim=3, augment_dim=2).make)
    slope = jax.jit(jax.grad(lambda network: jnp.sum(jnp.square(network(X, LABEL, **conditions)))))(conditioned)
    largest = {name: float(np.max(np.abs(leaf))) for name, leaf in flat(slope.state).items()}
    assert all(np.isfinite(v) and v > 0 for v in largest.values()), largest


def test_a_network_trained_with_classes_asks_for_them(filled):
    with pytest.raises(ValueError, match="one of 3 class labels for every image: put Conditioned"):
        filled(CLASSES.make)(X, LABEL)


def test_a_network_without_classes_refuses_them(network):
    with pytest.raises(ValueError, match="knows no classes"):
        network(X, LABEL, class_labels=jnp.eye(3))


def test_optional_class_labels_are_zeros_when_absent(filled):
    config = dataclasses.replace(CLASSES, requires_labels=False)
    assert jax.eval_shape(run, filled(config.make), X, LABEL).shape == (3, 8, 8, 2)
    embed = filled(lambda rngs: adm_unet.AdmEmbedding(config, rngs=rngs))
    zeros = run(embed, LABEL, jnp.zeros((3, 3)), augment_labels=None)
    np.testing.assert_allclose(run(embed, LABEL, None, augment_labels=None), zeros)
    assert float(jnp.max(jnp.abs(run(embed, LABEL, jnp.eye(3), augment_labels=None) - zeros))) > 1e-2


def test_a_level_narrower_than_a_head_does_not_attend():
    wide = dataclasses.replace(TINY, num_head_channels=64)
    assert not any(stage.attention for stage in (*encoder_stages(wide), *decoder_stages(wide)))


@pytest.mark.parametrize(
    ("config", "published"),
    [
        pytest.param(AdmUNetConfig(resolution=64, label_dim=1000), 295_899_267, marks=pytest.mark.slow),
        pytest.param(
            AdmUNetConfig(
                resolution=256, out_channels=6, model_channels=256, channel_mult=(1, 1, 2, 2, 4, 4), num_blocks=2
            ),
            552_814_086,
            marks=pytest.mark.slow,
        ),
        (
            AdmUNetConfig(
                resolution=32,
                out_channels=6,
                model_channels=128,
                channel_mult=(1, 2, 2, 2),
                attn_resolutions=(16, 8),
                num_heads=4,
                resampling="conv",
            ),
            52_546_438,
        ),
    ],
    ids=["consistency ImageNet-64", "ADM ImageNet-256", "improved-diffusion CIFAR-10"],
)
def test_the_published_configurations_have_the_published_size(config, published):
    assert n_params(abstract(config.make)[1]) == published


def test_a_config_survives_json():
    assert AdmUNetConfig(**json.loads(json.dumps(dataclasses.asdict(PLAIN)))) == PLAIN


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"conditioning": "film"}, "conditioning is 'film', but it must be one of scale_shift, additive"),
        ({"resampling": "pool"}, "resampling is 'pool', but it must be one of block, conv"),
        ({"resolution": 9}, "resolution 9 cannot be halved 1 times"),
        ({"model_channels": 9}, "model_channels is 9"),
        ({"num_heads": 0}, "num_heads is 0"),
    ],
)
def test_an_impossible_config_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(TINY, **change)


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="8 channels do not divide into 3 heads"):
        abstract(dataclasses.replace(TINY, num_heads=3).make)
