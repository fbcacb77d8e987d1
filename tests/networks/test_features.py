"""What classifiers let others look at: pooled features and intermediate maps, both behind the preprocessing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ssni_jax.networks import (
    Network,
    PreprocessedClassifier,
    Preprocessing,
    ResNetConfig,
    SongUNetConfig,
    SqueezeNetConfig,
    VitConfig,
    WideResNetConfig,
    flat,
    unflat,
)

# config, features' channels, (size, channels) of every tap of an image of 32 pixels
CASES = {
    "wide": (WideResNetConfig(depth=10, widen_factor=1), 64, [(32, 16), (16, 32), (8, 64)]),
    "cifar": (
        ResNetConfig(block="basic", stages=(1, 2), width=4, stem="plain", shortcut="pad"),
        8,
        [(32, 4), (16, 8), (16, 8)],
    ),
    "imagenet": (ResNetConfig(stages=(1, 1), width=4), 32, [(8, 16), (4, 32)]),
    "vit": (VitConfig(resolution=32, patch=8, width=12, depth=2, n_heads=2, mlp_width=8), 12, [(4, 12), (4, 12)]),
}
X = jax.random.uniform(jax.random.key(0), (3, 32, 32, 3))


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture(scope="module")
def classifier(case, filled) -> PreprocessedClassifier:
    return PreprocessedClassifier(filled(case[0].make), Preprocessing((0.5,), (0.25,)))


@jax.jit
def everything(classifier, x):
    return classifier(x), classifier.features(x), classifier.taps(x)


def test_features_and_taps_have_the_shapes_of_the_family(case, classifier):
    _, features, taps = everything(classifier, X)
    assert features.shape == (3, case[1]) and features.dtype == jnp.float32
    assert [tap.shape for tap in taps] == [(3, size, size, n) for size, n in case[2]]


def test_the_head_reads_the_features(classifier):
    logits, features, _ = everything(classifier, X)
    arrays = flat(classifier.network.state)
    np.testing.assert_allclose(logits, features @ arrays["head/kernel"] + arrays["head/bias"], rtol=1e-3, atol=1e-4)


def test_the_preprocessing_stands_before_features_and_taps(classifier):
    bare = PreprocessedClassifier(classifier.network)
    for seen, expected in zip(everything(classifier, X)[1:], everything(bare, (X - 0.5) / 0.25)[1:], strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), seen, expected)


def test_every_tap_follows_the_one_before_it(filled):
    """Changing a block changes its own output and the later ones, and none before."""
    network = filled(CASES["cifar"][0].make)
    arrays = flat(network.state)
    arrays["blocks/stage1_block0/conv1/kernel"] *= 2
    changed = Network(network.graphdef, unflat(network.state, arrays))
    one, other = (everything(PreprocessedClassifier(each), X)[2] for each in (network, changed))
    assert [bool(jnp.any(a != b)) for a, b in zip(one, other, strict=True)] == [False, True, True]


def test_squeezenet_shows_the_features_of_lpips(filled):
    classifier = PreprocessedClassifier(filled(SqueezeNetConfig(n_classes=5).make))
    _, features, taps = everything(classifier, X)
    assert len(taps) == 7
    np.testing.assert_allclose(features, jnp.mean(taps[-1], (1, 2)), rtol=1e-5)


def test_a_network_without_features_is_refused_in_a_sentence(filled):
    denoiser = SongUNetConfig(resolution=8, in_channels=1, out_channels=1, model_channels=4, channel_mult=(1,))
    with pytest.raises(ValueError, match="A SongUNet has no taps: give a classifier such as"):
        PreprocessedClassifier(filled(denoiser.make)).taps(X[:, :8, :8, :1])


def test_a_distilled_transformer_shows_its_class_token(filled):
    config = VitConfig(resolution=8, patch=4, width=4, depth=1, n_heads=1, mlp_width=4, distilled=True)
    network = filled(config.make)
    module = nnx.merge(network.graphdef, network.state)
    x = X[:, :8, :8]
    arrays = flat(network.state)
    head, other = ((arrays[f"{name}/kernel"], arrays[f"{name}/bias"]) for name in ("head", "head_dist"))
    logits, features = jax.jit(lambda x: (module(x), module.penultimate(x)))(x)
    tokens = jax.jit(lambda x: module.norm(module._outputs(x, None)[-1]))(x)
    rest = 2 * logits - (features @ head[0] + head[1])
    np.testing.assert_allclose(rest, tokens[:, 1] @ other[0] + other[1], rtol=1e-3, atol=1e-4)
    assert jax.eval_shape(module.taps, x)[0].shape == (3, 2, 2, 4)
