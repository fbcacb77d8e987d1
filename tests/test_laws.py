"""Laws of the methods: what one does to an image follows from that image and its key, and costs what it says.

Stated per factor: every base alone, both SSNI variants over a few bases, gradients on the structures that differ for
them. One compiled program per method serves all laws of its forward pass.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.dist import by_rows, make_mesh, rows, whole
from ssni_jax.purify import Calibration, Held
from ssni_jax.recipes import ddpm_released, ssni_l_released
from tests.kit import (
    at_zero,
    bases,
    calibration,
    called,
    differentiable_recipes,
    images,
    keys,
    recipes,
    two_modes,
    with_leaves,
)

B = 16
TRACES = []
EQUAL = {"atol": 1e-6, "rtol": 1e-5}

# SSNI-N over the same bases is not; gns walks the same rounds, and grids have their parity; "noises" has MANI-Pure's
# noise and "freqpure" its guide. scoreopt_n walks the optimiser of "lm" and the steps of "one_step", held to its closed
# form in tests/solvers/test_optimise.py, and mimicdiffusion the steps of "from_noise" under the guide of "diffap".
ALSO_SLOW = (
    *("ssni_l diffpure_ddpm", "ssni_l consistency", "ssni_l integer_steps", "ssni_l ringed", "gns_released"),
    *("mani_pure", "scoreopt_n", "ssni_n scoreopt_n", "lm_by_steps", "mimicdiffusion"),
)


def marked(names):
    return [pytest.param(name, marks=pytest.mark.slow) if name in ALSO_SLOW else name for name in names]


def quick(*names):
    """Every method; all but these are slow."""
    return pytest.mark.parametrize(
        "name", [n if n in names else pytest.param(n, marks=pytest.mark.slow) for n in recipes()]
    )


each_method = pytest.mark.parametrize("name", marked(recipes()))
each_adaptive = pytest.mark.parametrize("name", marked(name for name in recipes() if name not in bases()))
# The slope through the guide is compared with finite differences in tests/attacks/test_guidance_gradient.py.
# That of scoreopt_n and of lm_by_steps is held for "soft ssni_n lm" too; "freqpure" has mani_pure's guide, "noises" its
# noise, and the guide of diffap is held to its formula in tests/purify/test_estimate_guide.py.
SLOW_GRADIENTS = ("gdmp_ssim", "scoreopt_n", "mani_pure", "diffap", "ssni_n lm_by_steps")
each_differentiable = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in SLOW_GRADIENTS else n for n in differentiable_recipes()],
)


@jax.jit
def run(purifier, keys, x):
    TRACES.append(type(purifier))
    return purifier.run(keys, x)


@jax.jit
def gradient(purifier, keys, x):
    """Of a sum in which every pixel counts differently."""
    weights = jnp.linspace(0.5, 1.5, x[0].size).reshape(x.shape[1:])
    return jax.grad(lambda x: jnp.sum(jnp.sin(4 * purifier(keys, x)) * weights))(x)


def assert_same(done, expected):
    """Every field of two purifications; t has its rows last."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **EQUAL), done, expected)


def rows_of(done, index):
    """The purification of some rows."""
    done = jax.tree.map(np.asarray, done)
    return jax.tree.map(lambda field: field[..., index] if field.ndim == 2 else field[index], done)


@each_method
def test_a_row_does_not_depend_on_its_place_in_the_batch(name):
    order = np.random.default_rng(1).permutation(B)
    done = run(recipes()[name], keys(B), images(B))
    assert_same(run(recipes()[name], keys(B)[order], images(B)[order]), rows_of(done, order))


@pytest.mark.parametrize(
    ("name", "some"),
    [("ssni_n diffpure_ddpm", slice(4, 11)), ("ssni_n consistency", slice(9, 10))],
    ids=["seven", "alone"],
)
def test_a_row_is_the_same_in_a_smaller_batch(name, some):
    done = run(recipes()[name], keys(B), images(B))
    assert_same(run(recipes()[name], keys(B)[some], images(B)[some]), rows_of(done, some))


@each_method
def test_time_zero_is_the_identity_and_costs_no_step(name):
    purifier = at_zero(recipes()[name])
    done = run(purifier, keys(B), images(B))
    np.testing.assert_allclose(done.image, images(B), atol=1e-7)
    assert jnp.all(done.t == 0) and jnp.all(done.n_calls == purifier.deviation.n_calls)


@each_method
def test_three_values_of_every_number_are_one_trace(name):
    """And they are three different purifications, unless there is nothing to vary."""

    def scaled(k):
        return dict.fromkeys(("t_star", "bias", "tau"), lambda value: k * value)

    run(recipes()[name], keys(B), images(B))
    before = len(TRACES)
    done = [run(with_leaves(recipes()[name], **scaled(k)), keys(B), images(B)).image for k in (0.7, 0.8, 0.9)]
    assert len(TRACES) == before
    assert recipes()[name].rounds == () or all(jnp.any(one != other) for one, other in itertools.combinations(done, 2))


@each_method
def test_network_calls_are_those_of_the_nonzero_steps_and_of_the_measurement(name):
    purifier = recipes()[name]
    done = run(purifier, keys(B), images(B))
    expected = np.full(B, float(purifier.deviation.n_calls))
    for round, t in zip(purifier.rounds, done.t, strict=True):
        levels = np.asarray(called(round.grid, purifier.schedule, t))
        n_moves = np.sum(levels[:-1] != levels[1:], axis=0)
        expected += round.repeats * round.step.n_calls * n_moves + round.reference.n_calls * (n_moves > 0)
    np.testing.assert_array_equal(done.n_calls, expected)


@each_adaptive
def test_levels_differ_from_row_to_row(name):
    """Without this the other laws would say little about sample-specific noise."""
    done = run(recipes()[name], keys(B), images(B))
    assert all(len(set(np.asarray(t).tolist())) > 3 for t in done.t)


@quick("ssni_n rounds", "ssni_n lm_by_steps")
def test_split_over_eight_devices_it_is_the_same(name):
    mesh = make_mesh()
    placed = jax.device_put(recipes()[name], whole(mesh)), *jax.device_put((keys(B), images(B)), rows(mesh))
    done = jax.jit(lambda purifier, keys, x: purifier.run(keys, x))(*placed)
    assert len(done.image.sharding.device_set) == 8
    assert_same(done, run(recipes()[name], keys(B), images(B)))


@quick("ssni_n rounds", "ssni_n integer_steps", "ssni_n ringed", "ssni_l gdmp_ssim", "ssni_n lm_by_steps")
def test_the_ragged_walk_gives_the_same_as_the_scan(name):
    assert_same(run(recipes()[name].ragged(5), keys(B), images(B)), run(recipes()[name], keys(B), images(B)))


@each_differentiable
def test_gradients_are_finite_and_not_zero(name):
    slope = gradient(differentiable_recipes()[name], keys(8), images(8))
    assert jnp.all(jnp.isfinite(slope)) and jnp.all(jnp.any(slope != 0, axis=(1, 2, 3)))


@each_differentiable
def test_gradients_at_time_zero_are_finite(name):
    """Those of a fixed level are those of the identity; a soft one may still lean on t(x)."""
    assert jnp.all(jnp.isfinite(gradient(at_zero(differentiable_recipes()[name]), keys(8), images(8))))


@each_differentiable
def test_gradients_of_a_row_do_not_depend_on_the_other_rows(name):
    recipe, some = differentiable_recipes()[name], np.asarray([5, 0, 7, 2, 1, 6, 3, 4])
    slope = gradient(recipe, keys(8)[some], images(8)[some])
    expected = np.asarray(gradient(recipe, keys(8), images(8)))[some]
    np.testing.assert_allclose(slope, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("n_devices", [1, 2, 8])
def test_the_released_ssni_l_takes_its_range_over_all_devices_and_not_over_padding(n_devices):
    """Rows that pad a batch repeat its last row, which changes no extreme."""
    xi = jnp.asarray([150.0, 300.0, 440.0, 200.0, 250.0, 310.0, 333.0, 333.0])
    reference = Calibration((200.0, 300.0, 400.0), calibration().network, "test", "norms", calibration().deviation)
    purifier = ssni_l_released(ddpm_released(two_modes()), reference)
    mesh = make_mesh(devices=jax.devices()[:n_devices])
    sharded = jax.jit(by_rows(mesh, lambda purifier, xi: purifier.times(xi).T))
    t = sharded(purifier, jax.device_put(xi, rows(mesh)))[:, 0]
    np.testing.assert_allclose(t, np.round(99 * (xi - 150) / 290 + 5) / 1000, atol=1e-6)
    np.testing.assert_allclose(purifier.in_batch(xi).times(xi[:3])[0], t[:3], atol=1e-6)
    assert Held(xi).n_calls == 0
