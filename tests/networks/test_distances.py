import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.protocols import Distance
from ssni_jax.networks import AbsoluteDifference, FeatureDistance, Perceptual, PseudoHuber, SquaredDifference
from ssni_jax.zoo import Pretrained

RNG = np.random.RandomState(0)
A, B = (jnp.asarray(RNG.uniform(-1, 1, (3, 8, 8, 1)), jnp.float32) for _ in range(2))
CLASSIFIER = Pretrained("digits-classifier")
NAMES = ["l1", "l2", "huber", "euclidean", "features"]


@jax.jit
def measure(distance, a, b):
    """The distances and the gradient of their sum by `a`."""
    return distance(a, b), jax.grad(lambda a: distance(a, b).sum())(a)


@pytest.fixture(scope="module")
def distances():
    return {
        "l1": AbsoluteDifference(),
        "l2": SquaredDifference(),
        "huber": PseudoHuber(),
        "euclidean": PseudoHuber(0.0),
        "features": FeatureDistance(CLASSIFIER.load()),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_distance_is_zero_for_equal_images_symmetric_and_one_number_per_row(distances, name):
    assert isinstance(distances[name], Distance)
    (forth, _), (back, _), (none, _) = (measure(distances[name], a, b) for a, b in ((A, B), (B, A), (A, A)))
    assert forth.shape == (3,) and np.all(forth > 1e-3)
    np.testing.assert_allclose(none, 0, atol=1e-6)
    np.testing.assert_allclose(forth, back, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_at_equal_images_is_finite(distances, name):
    assert np.all(np.isfinite(measure(distances[name], A, A)[1]))


def test_pixel_distances_are_those_done_by_hand():
    difference = np.asarray(A - B, np.float64).reshape(3, -1)
    c = 0.00054 * np.sqrt(64)
    np.testing.assert_allclose(AbsoluteDifference()(A, B), np.abs(difference).mean(1), rtol=1e-5)
    np.testing.assert_allclose(SquaredDifference()(A, B), (difference**2).mean(1), rtol=1e-5)
    np.testing.assert_allclose(PseudoHuber()(A, B), np.sqrt((difference**2).sum(1) + c * c) - c, rtol=1e-5)
    np.testing.assert_allclose(PseudoHuber(0.0)(A, B), np.linalg.norm(difference, axis=1), rtol=1e-5)


def test_a_perceptual_distance_sees_images_of_its_size_enlarged_bilinearly():
    """As LPIPS with a size of its own does."""
    seen = []

    def network(a, b):
        seen.extend([a, b])
        return jnp.mean(jnp.abs(a - b), axis=(1, 2, 3))

    Perceptual(network, size=16)(A, B)
    Perceptual(network, size=None)(A, B)
    enlarged = [jax.image.resize(x, (3, 16, 16, 1), "linear") for x in (A, B)]
    jax.tree.map(
        lambda found, expected: np.testing.assert_allclose(found, expected, atol=1e-6), seen, [*enlarged, A, B]
    )


def test_a_feature_distance_does_not_see_the_scale_of_features():
    class Scaled:
        def taps(self, x):
            return [5 * x + 0.0]

    class Plain:
        def taps(self, x):
            return [x]

    np.testing.assert_allclose(FeatureDistance(Scaled())(A, B), FeatureDistance(Plain())(A, B), rtol=1e-5)
