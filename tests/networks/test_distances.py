import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ssni_jax.core.protocols import Distance
from ssni_jax.networks import L1, L2, FeatureDistance, LpipsConfig, Perceptual, PseudoHuber, make_network
from ssni_jax.zoo import Pretrained

RNG = np.random.RandomState(0)
A, B = (jnp.asarray(RNG.uniform(-1, 1, (3, 8, 8, 1)), jnp.float32) for _ in range(2))
CLASSIFIER = Pretrained("digits-classifier")


@pytest.fixture(scope="module")
def distances():
    return {
        "l1": L1(),
        "l2": L2(),
        "huber": PseudoHuber(),
        "euclidean": PseudoHuber(0.0),
        "features": FeatureDistance(CLASSIFIER.load()),
    }


@pytest.mark.parametrize("name", ["l1", "l2", "huber", "euclidean", "features"])
def test_a_distance_is_zero_for_equal_images_symmetric_and_a_number_a_row(distances, name):
    distance = distances[name]
    assert isinstance(distance, Distance) and distance(A, B).shape == (3,)
    np.testing.assert_allclose(distance(A, A), 0, atol=1e-6)
    np.testing.assert_allclose(distance(A, B), distance(B, A), rtol=1e-5)
    assert np.all(distance(A, B) > 1e-3)


@pytest.mark.parametrize("name", ["l1", "l2", "huber", "euclidean", "features"])
def test_the_gradient_at_equal_images_is_finite(distances, name):
    assert np.all(np.isfinite(jax.grad(lambda a: distances[name](a, A).sum())(A)))


def test_pixel_distances_are_those_done_by_hand():
    difference = np.asarray(A - B, np.float64).reshape(3, -1)
    c = 0.00054 * np.sqrt(64)
    np.testing.assert_allclose(L1()(A, B), np.abs(difference).mean(1), rtol=1e-5)
    np.testing.assert_allclose(L2()(A, B), (difference**2).mean(1), rtol=1e-5)
    np.testing.assert_allclose(PseudoHuber()(A, B), np.sqrt((difference**2).sum(1) + c * c) - c, rtol=1e-5)
    np.testing.assert_allclose(PseudoHuber(0.0)(A, B), np.linalg.norm(difference, axis=1), rtol=1e-5)


def test_a_perceptual_distance_sees_images_of_its_size():
    seen = []

    def network(a, b):
        seen.append(a.shape)
        return jnp.mean(jnp.abs(a - b), axis=(1, 2, 3))

    Perceptual(network, size=16)(A, B)
    Perceptual(network, size=None)(A, B)
    assert seen == [(3, 16, 16, 1), (3, 8, 8, 1)]


def test_enlarging_first_is_lpips_with_that_size():
    native, enlarged = (make_network(LpipsConfig("squeeze", size).make(rngs=nnx.Rngs(0))) for size in (None, 64))
    a, b = (jnp.asarray(RNG.uniform(-1, 1, (2, 32, 32, 3)), jnp.float32) for _ in range(2))
    np.testing.assert_allclose(Perceptual(native, 64)(a, b), enlarged(a, b), rtol=1e-5)


def test_a_feature_distance_does_not_see_the_scale_of_features():
    class Scaled:
        def taps(self, x):
            return [5 * x + 0.0]

    class Plain:
        def taps(self, x):
            return [x]

    np.testing.assert_allclose(FeatureDistance(Scaled())(A, B), FeatureDistance(Plain())(A, B), rtol=1e-5)
