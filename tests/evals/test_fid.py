"""Laws of FID and KID: closed forms, order, batches, names, and no bias where none is claimed."""

import functools
import operator

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import sqrtm

from ssni_jax.core.pytree import pytree
from ssni_jax.evals.features import Features, extract, moments
from ssni_jax.evals.fid import cubic, frechet, kid, squared_mmd
from ssni_jax.networks import PreprocessedClassifier

RNG = np.random.default_rng(0)
MIX = RNG.standard_normal((6, 6))


def drawn(n, shift=0.0, mix=MIX, name="toy"):
    return Features(name, (RNG.standard_normal((n, len(mix))) @ mix + shift).astype(np.float32))


def streamed(features, *sizes):
    """Moments of the features, added batch by batch."""
    parts = np.split(features.vectors, np.cumsum(sizes))
    return functools.reduce(operator.add, (moments(Features(features.name, part)) for part in parts))


def exactly(mean, covariance, n=10):
    """Features whose mean and unbiased covariance are these."""
    z = RNG.standard_normal((n, len(mean)))
    z -= z.mean(0)
    z = np.linalg.solve(np.linalg.cholesky(np.cov(z.T)), z.T).T
    return moments(Features("toy", z @ np.linalg.cholesky(covariance).T + mean))


def test_a_set_has_no_distance_from_itself():
    a = moments(drawn(50))
    assert abs(frechet(a, a)) < 1e-12 * np.trace(a.covariance)


def test_diagonal_gaussians_are_apart_by_their_means_and_deviations():
    std_a, std_b, mean = np.array([1.0, 2.0, 3.0]), np.array([2.0, 0.5, 3.0]), np.array([0.5, 0.0, -2.0])
    found = frechet(exactly(np.zeros(3), np.diag(std_a**2)), exactly(mean, np.diag(std_b**2)))
    assert found == pytest.approx(np.sum(mean**2) + np.sum((std_a - std_b) ** 2), rel=1e-9)


def test_correlated_gaussians_are_apart_by_the_matrix_root():
    other = RNG.standard_normal((6, 6))
    a, b = moments(drawn(40)), moments(drawn(60, 0.3, other))
    expected = np.sum((a.mean - b.mean) ** 2) + np.trace(
        a.covariance + b.covariance - 2 * np.real(sqrtm(a.covariance @ b.covariance))
    )
    assert frechet(a, b) == pytest.approx(expected, rel=1e-8)
    assert frechet(b, a) == pytest.approx(frechet(a, b), rel=1e-10)


def test_fewer_images_than_dimensions_still_have_an_exact_distance():
    """Two sets on different axes share no variance: the distance is all of both."""
    a, b = np.zeros((5, 40)), np.zeros((5, 40))
    a[:, 0], b[:, 7] = [1, 2, 3, 4, 5], [2, 4, 6, 8, 10]
    found = frechet(moments(Features("toy", a)), moments(Features("toy", b)))
    assert found == pytest.approx(3**2 + 6**2 + 2.5 + 10.0, rel=1e-12)
    wide = moments(Features("toy", RNG.standard_normal((5, 40))))
    assert abs(frechet(wide, wide)) < 1e-10


def test_images_that_are_all_equal_have_the_distance_of_their_means():
    a, b = (moments(Features("toy", np.full((3, 4), value))) for value in (1.0, 3.0))
    assert frechet(a, b) == pytest.approx(16.0)


@pytest.mark.parametrize("sizes", [(1,), (7, 20), (1, 2, 3, 4, 5, 6)])
def test_neither_batches_nor_order_matter(sizes):
    a = drawn(50, 100.0)
    whole, parts = moments(a), streamed(a, *sizes)
    shuffled = streamed(Features("toy", RNG.permutation(a.vectors)), *sizes)
    for other in (parts, shuffled):
        assert other.n == 50
        np.testing.assert_allclose(other.mean, whole.mean, rtol=1e-12)
        np.testing.assert_allclose(other.covariance, np.cov(a.vectors.astype(float).T), rtol=1e-9)


def test_a_large_mean_does_not_eat_the_covariance():
    a = RNG.standard_normal((100, 2)) + 1e7
    np.testing.assert_allclose(streamed(Features("toy", a), 30, 50).covariance, np.cov(a.T), rtol=1e-6)


def test_the_kernel_distance_by_hand():
    x, y = np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([[2.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(cubic(x, y), [[8, 1], [8, 1]])
    assert squared_mmd(x, y) == pytest.approx(1 + 1 - 2 * 4.5)


def test_kid_is_unbiased_however_few_images_it_sees():
    """With four images of equal distributions the mean over many draws is within 4 standard errors of zero."""
    found = [squared_mmd(*RNG.standard_normal((2, 4, 3))) for _ in range(4000)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))


def test_kid_is_the_mean_and_spread_over_subsets_and_follows_its_seed():
    a, b = drawn(60, mix=np.eye(6)), drawn(80, 2.0, mix=np.eye(6))
    found = kid(a, b)
    assert found == kid(a, b) != kid(a, b, seed=1)
    assert (found.n_subsets, found.size) == (100, 30) and found.std > 0
    assert found.mean > 5 * found.std > abs(kid(a, drawn(60, mix=np.eye(6))).mean)


@pytest.mark.slow
def test_kid_of_a_set_with_itself_is_unbiased_because_no_image_meets_itself():
    """Over many sets of eight; with overlapping subsets the estimate would be far below zero."""
    sets = [Features("toy", RNG.standard_normal((8, 3))) for _ in range(1000)]
    found = [kid(each, each, n_subsets=2).mean for each in sets]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))


def test_features_of_two_networks_are_never_mixed():
    a, b = drawn(5), drawn(5, name="other")
    for mixed in (lambda: moments(a) + moments(b), lambda: frechet(moments(a), moments(b)), lambda: kid(a, b)):
        with pytest.raises(ValueError, match="toy features cannot be compared with other features"):
            mixed()


def test_too_few_or_broken_images_are_refused():
    with pytest.raises(ValueError, match="1 image has no covariance: give two or more"):
        frechet(moments(drawn(1)), moments(drawn(5)))
    with pytest.raises(ValueError, match="KID compares subsets of 2 to 1 of these images, not of 1: give more"):
        kid(drawn(3), drawn(3))
    with pytest.raises(ValueError, match="1 of 2 images have NaN or infinite toy features"):
        Features("toy", np.array([[1.0, np.nan], [1.0, 1.0]]))


def test_a_stream_of_images_becomes_named_features():
    @pytree
    class Pixels:
        """A stand-in network whose last features are its first two pixels."""

        def method(self, name):
            return {"penultimate": lambda x: x.reshape(len(x), -1)[:, :2]}[name]

    batches = [jnp.ones((2, 4, 4, 1)), jnp.zeros((1, 4, 4, 1))]
    found = list(extract("pixels", PreprocessedClassifier(Pixels()), batches))
    assert [each.name for each in found] == ["pixels"] * 2
    np.testing.assert_array_equal(np.concatenate([each.vectors for each in found]), [[1, 1], [1, 1], [0, 0]])
