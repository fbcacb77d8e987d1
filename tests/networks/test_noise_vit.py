"""Laws of the noise-conditioned vision transformer, and of the classifier around it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.rng import sample_keys
from ssni_jax.networks import ConsistencyCoefficients, NoiseConditionedClassifier, NoiseVitConfig, Snapped
from ssni_jax.purify import NoiseConditioned

TINY = NoiseVitConfig(
    resolution=8, patch=4, width=16, depth=1, n_heads=2, mlp_width=24, hidden=12, output=6, n_classes=5
)
X = jax.random.normal(jax.random.key(0), (4, 8, 8, 3))
LABELS = jnp.array([-3.0, 0.0, 40.0, 700.0])


@pytest.fixture(scope="module")
def network(filled):
    return filled(TINY.make)


@jax.jit
def run(network, x, label):
    return network(x, label)


def test_a_batch_of_noises_is_a_bag(network):
    one, other = run(network, X, LABELS), run(network, X[::-1], LABELS[::-1])
    np.testing.assert_allclose(other[::-1], one, rtol=1e-4, atol=1e-5)


def test_the_logits_depend_on_the_noise_label(network):
    same = run(network, X[:1].repeat(4, 0), LABELS)
    assert np.min(np.abs(np.diff(same, axis=0)).max(-1)) > 1e-3


def test_an_encoder_without_classes_has_representations_and_no_logits(filled):
    encoder = filled(dataclasses.replace(TINY, n_classes=0).make)
    with pytest.raises(ValueError, match="fine-tune"):
        encoder(X, LABELS)
    assert encoder.method("representation")(X, LABELS).shape == (4, 16)
    assert encoder.method("projected")(X, LABELS).shape == (4, 6)


@pytest.mark.parametrize("wrong", [{"patch": 3}, {"n_heads": 3}, {"dtype": "int8"}])
def test_a_shape_that_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError, match=r"divisor|must be one of"):
        dataclasses.replace(TINY, **wrong)


def seen(x, label):
    """What a network is shown, in the place of logits."""
    return jnp.stack([x[:, 0, 0, 0], label], axis=1)


def test_a_classifier_scales_its_images_and_is_told_their_noise_in_the_range_of_the_network():
    x, sigma = jnp.full((2, 4, 4, 1), 0.75), jnp.array([0.25, 1.0])
    shown = NoiseConditionedClassifier(seen, ConsistencyCoefficients())(x, sigma)
    np.testing.assert_allclose(shown[:, 0], 0.5 / np.sqrt(np.array([0.5, 2.0]) ** 2 + 0.25), rtol=1e-5)
    np.testing.assert_allclose(shown[:, 1], 250 * np.log([0.5, 2.0]), rtol=1e-5)


def test_an_image_without_noise_is_told_the_least_level_and_certification_sets_its_own():
    predict = NoiseConditioned(NoiseConditionedClassifier(seen, Snapped(ConsistencyCoefficients(), n=81)))
    keys = sample_keys(jax.random.key(0), jnp.arange(2))
    levels = np.linspace(80 ** (1 / 7), 0.002 ** (1 / 7), 81) ** 7
    for smoothing, level in ((0.0, 0.002), (0.5, levels[np.argmin(np.abs(levels - 1.0))])):
        trace = predict.at_noise(smoothing).trace(keys, jnp.full((2, 4, 4, 1), 0.5))
        np.testing.assert_allclose(trace.logits[:, 1], 250 * np.log(level), rtol=1e-4)
    assert np.all(trace.n_calls == 0) and trace.t.shape == (2, 0)
