import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import L1, L2, Linf, Sign, Unit
from ssni_jax.core.rng import normal_like
from tests.kit import images, keys

B = 64
CORNERS = jnp.round(images(B))
REFERENCE = jnp.concatenate([images(B // 2), CORNERS[B // 2 :]])
FAR = REFERENCE + normal_like(keys(B), REFERENCE)
THREATS = [Linf(0.1), L2(0.4), L1(1.5), Linf(0.0), L2(0.0)]
each_threat = pytest.mark.parametrize("threat", THREATS, ids=repr)


def size(threat, change):
    """The norm that the threat bounds, per row."""
    order = {Linf: np.inf, L2: 2, L1: 1}[type(threat)]
    return np.linalg.norm(np.asarray(change, np.float64).reshape(len(change), -1), order, axis=1)


@each_threat
def test_a_projection_is_in_the_ball_and_in_the_image_range(threat):
    x = threat.project(FAR, REFERENCE)
    assert np.all(size(threat, x - REFERENCE) <= threat.eps + 1e-6)
    assert jnp.all((x >= 0) & (x <= 1))


@each_threat
def test_a_point_inside_stays_and_projecting_twice_is_projecting_once(threat):
    x = threat.project(FAR, REFERENCE)
    np.testing.assert_allclose(threat.project(x, REFERENCE), x, atol=1e-6)


def test_the_l2_projection_shrinks_the_change_to_the_sphere():
    x = jnp.full((1, 4, 3, 1), 0.5)
    change = 0.3 * jnp.ones_like(x)
    np.testing.assert_allclose(L2(0.4).project(x + change, x) - x, 0.4 / np.sqrt(12), rtol=1e-5)


@each_threat
def test_a_random_start_is_inside_differs_by_row_and_uses_the_ball(threat):
    start = threat.start(keys(B), REFERENCE)
    sizes = size(threat, start - REFERENCE)
    assert np.all(sizes <= threat.eps + 1e-6) and jnp.all((start >= 0) & (start <= 1))
    assert threat.eps == 0 or (sizes.max() > 0.8 * threat.eps and len(set(sizes.tolist())) > B // 2)


def test_a_sign_step_is_one_everywhere_and_a_unit_step_has_norm_one():
    gradient = normal_like(keys(B), REFERENCE)
    assert jnp.all(jnp.abs(Sign()(gradient)) == 1)
    np.testing.assert_allclose(size(L2(), Unit()(gradient)), 1, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e18, 1e30])
@pytest.mark.parametrize("direction", [Sign(), Unit()], ids=repr)
def test_the_length_of_a_gradient_does_not_matter(direction, scale):
    """A confident classifier's gradient squares to zero in float32, which must not stop the attack."""
    gradient = normal_like(keys(B), REFERENCE)
    np.testing.assert_allclose(direction(scale * gradient), direction(gradient), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("direction", [Sign(), Unit()], ids=repr)
def test_a_zero_gradient_is_no_step(direction):
    assert jnp.all(direction(jnp.zeros_like(REFERENCE)) == 0)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.4)], ids=repr)
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_a_broken_gradient_is_loud_in_its_own_row(threat, bad):
    """An infinite gradient has a sign, so only the Euclidean direction of it is undefined."""
    gradient = jnp.ones_like(REFERENCE).at[3, 1, 1, 0].set(bad)
    x = threat.project(REFERENCE + 0.1 * threat.direction(gradient), REFERENCE)
    broken = jnp.any(jnp.isnan(x), axis=(1, 2, 3))
    assert bool(broken[3]) == (bool(jnp.isnan(bad)) or isinstance(threat, L2)) and not jnp.any(jnp.delete(broken, 3))


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.4)], ids=repr)
def test_rows_do_not_see_each_other(threat):
    attack = jax.jit(lambda x, reference: threat.project(reference + threat.direction(x), reference))
    np.testing.assert_allclose(attack(FAR, REFERENCE)[5:6], attack(FAR[5:6], REFERENCE[5:6]), atol=1e-6)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.4), L1(1.5)], ids=repr)
def test_a_spread_start_reaches_the_boundary_where_the_image_range_allows(threat):
    x = jnp.full_like(REFERENCE, 0.5)
    np.testing.assert_allclose(size(threat, jax.jit(threat.spread)(keys(B), x) - x), threat.eps, rtol=1e-4)
    assert np.all(size(threat, jax.jit(threat.spread)(keys(B), REFERENCE) - REFERENCE) <= threat.eps + 1e-5)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.4), L1(1.5)], ids=repr)
def test_norms_are_those_of_numpy_and_the_dual_norm_is_the_largest_slope(threat):
    drawn = normal_like(keys(B), REFERENCE)
    gradient = np.asarray(drawn)
    np.testing.assert_allclose(threat.norm(drawn), size(threat, gradient), rtol=1e-5)
    steepest = {Linf: np.sign(gradient), L2: gradient, L1: gradient * (np.abs(gradient) == largest(gradient))}
    step = steepest[type(threat)]
    slope = np.sum(step * gradient, axis=(1, 2, 3)) / size(threat, step)
    np.testing.assert_allclose(threat.dual_norm(drawn), slope, rtol=1e-5)


def largest(gradient):
    return np.abs(gradient).max(axis=(1, 2, 3), keepdims=True)


@pytest.mark.parametrize("threat", [Linf(), L2(), L1()], ids=["linf", "l2", "l1"])
def test_no_random_change_onto_the_plane_is_smaller_than_the_nearest_one(threat):
    normal, x = normal_like(keys(B, seed=2), REFERENCE), REFERENCE
    offset = jnp.sum(normal * x, axis=(1, 2, 3)) + jnp.linspace(-0.8, 0.8, B)
    change = jax.jit(threat.nearest_on_plane)(x, normal, offset)
    moved = np.asarray(x + change)
    assert moved.min() >= -1e-6 and moved.max() <= 1 + 1e-6
    np.testing.assert_allclose(np.sum(normal * moved, axis=(1, 2, 3)), offset, atol=1e-4)
    rng = np.random.default_rng(0)
    for _ in range(200):
        other = np.clip(moved + 0.3 * rng.normal(size=x.shape) * (rng.random(x.shape) < 0.3), 0, 1)
        scale = np.asarray(offset - np.sum(normal * x, axis=(1, 2, 3)))
        slope = np.sum(np.asarray(normal) * (other - x), axis=(1, 2, 3))
        share = scale / np.where(np.abs(slope) < 1e-3, np.nan, slope)
        on_plane = share[:, None, None, None] * (other - np.asarray(x))
        allowed = (share > 0) & (share <= 1)  # NaN is neither; then the point lies between x and `other`, inside [0, 1]
        assert np.all(size(threat, on_plane)[allowed] >= size(threat, change)[allowed] - 1e-4)


@pytest.mark.parametrize("threat", [Linf(), L2(), L1()], ids=["linf", "l2", "l1"])
def test_a_plane_out_of_reach_is_approached_as_far_as_the_image_range_allows(threat):
    normal, x = normal_like(keys(B, seed=2), REFERENCE), REFERENCE
    change = jax.jit(threat.nearest_on_plane)(x, normal, jnp.full(B, 1e3))
    np.testing.assert_allclose(x + change, normal > 0, atol=1e-5)


def test_the_l1_projection_is_the_nearest_point_of_ball_and_image_range():
    """Against a projected-gradient search for the multiplier in float64."""
    threat, far = L1(1.5), np.asarray(FAR, np.float64)
    reference = np.asarray(REFERENCE, np.float64)
    nearest = np.asarray(jax.jit(threat.project)(FAR, REFERENCE))
    for row in range(8):
        low, high = 0.0, 10.0
        for _ in range(80):
            threshold = (low + high) / 2
            change = far[row] - reference[row]
            shrunk = np.sign(change) * np.maximum(np.abs(change) - threshold, 0)
            inside = np.clip(reference[row] + shrunk, 0, 1)
            low, high = (threshold, high) if np.abs(inside - reference[row]).sum() > 1.5 else (low, threshold)
        np.testing.assert_allclose(nearest[row], inside, atol=1e-5)
