"""Laws of every recipe: what it does to an image follows from that image and its key, and costs what it says."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.dist import make_mesh, rows, whole
from ssni_jax.purify import Ragged
from tests.kit import at_zero, differentiable_recipes, images, keys, recipes, with_leaves

B = 64
TRACES = []
EQUAL = {"atol": 1e-6, "rtol": 1e-5}
QUICK_BASES = ("diffpure_ddpm", "rounds", "integer_steps")
SLOW_BASES = ("gdmp_ssim", "gns", "dds", "edm", "pf_ode", "densepure", "freqpure", "masked", "from_noise")


def each(names, *quick):
    """One test a recipe; those of a kind that is not quick are left out of quick runs, a few bases apart.

    Slow bases differ from others in what laws hardly see, and are left out of all of them.
    """
    is_quick = lambda n: n.endswith(QUICK_BASES) or (n.startswith(quick) and not n.endswith(SLOW_BASES))  # noqa: E731
    return pytest.mark.parametrize(
        "name", [n if is_quick(n) else pytest.param(n, marks=pytest.mark.slow) for n in names]
    )


adaptive = [name for name in recipes() if name.startswith("ssni_n")]
each_recipe = each(recipes(), "")
each_adaptive = each(adaptive, "")
each_differentiable = each(differentiable_recipes(), "soft ssni_n")


@jax.jit
def run(purifier, keys, x):
    TRACES.append(type(purifier))
    return purifier.run(keys, x)


@jax.jit
def gradient(purifier, keys, x):
    """Of a sum in which every pixel counts differently."""
    weights = jnp.linspace(0.5, 1.5, x[0].size).reshape(x.shape[1:])
    return jax.grad(lambda x: jnp.sum(jnp.sin(4 * purifier(keys, x)) * weights))(x)


def assert_same(found, expected):
    """Every field of two purifications; t has its rows last."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **EQUAL), found, expected)


def rows_of(done, index):
    """The purification of some rows."""
    return type(done)(*(field[..., index] if field.ndim == 2 else field[index] for field in done))


@each_recipe
def test_a_row_does_not_depend_on_its_place_in_the_batch(name):
    order = np.random.default_rng(1).permutation(B)
    done = run(recipes()[name], keys(B), images(B))
    assert_same(run(recipes()[name], keys(B)[order], images(B)[order]), rows_of(done, order))


@each(adaptive)
def test_a_row_is_the_same_in_a_batch_of_seven(name):
    some = slice(20, 27)
    done = run(recipes()[name], keys(B), images(B))
    assert_same(run(recipes()[name], keys(B)[some], images(B)[some]), rows_of(done, some))


@each(adaptive)
def test_a_row_is_the_same_alone(name):
    alone = slice(41, 42)
    done = run(recipes()[name], keys(B), images(B))
    assert_same(run(recipes()[name], keys(B)[alone], images(B)[alone]), rows_of(done, alone))


@each_recipe
def test_time_zero_is_the_identity_and_costs_no_step(name):
    purifier = at_zero(recipes()[name])
    done = run(purifier, keys(B), images(B))
    np.testing.assert_allclose(done.image, images(B), atol=1e-7)
    assert jnp.all(done.t == 0) and jnp.all(done.n_calls == purifier.deviation.n_calls)


@each_recipe
def test_three_values_of_every_number_are_one_trace(name):
    """And they are three different purifications, unless there is nothing to vary."""
    scaled = lambda k: dict.fromkeys(("t_star", "bias", "tau"), lambda value: k * value)  # noqa: E731
    run(recipes()[name], keys(B), images(B))
    before = len(TRACES)
    found = [run(with_leaves(recipes()[name], **scaled(k)), keys(B), images(B)).image for k in (0.7, 0.8, 0.9)]
    assert len(TRACES) == before
    assert recipes()[name].rounds == () or all(jnp.any(one != other) for one, other in itertools.combinations(found, 2))


@each_recipe
def test_network_calls_are_those_of_the_nonzero_steps_and_of_the_measurement(name):
    purifier = recipes()[name]
    done = run(purifier, keys(B), images(B))
    expected = np.full(B, float(purifier.deviation.n_calls))
    for each, t in zip(purifier.rounds, done.t, strict=True):
        times = np.asarray(each.grid(t))
        n_moves = np.sum(times[:-1] != times[1:], axis=0)
        expected += each.repeats * each.step.n_calls * n_moves + each.reference.n_calls * (n_moves > 0)
    np.testing.assert_array_equal(done.n_calls, expected)


@each_adaptive
def test_levels_differ_from_row_to_row(name):
    """Without this the other laws would say little about sample-specific noise."""
    done = run(recipes()[name], keys(B), images(B))
    assert all(len(set(np.asarray(t).tolist())) > 5 for t in done.t)


@each(adaptive)
def test_split_over_eight_devices_it_is_the_same(name):
    mesh = make_mesh()
    placed = jax.device_put(recipes()[name], whole(mesh)), *jax.device_put((keys(B), images(B)), rows(mesh))
    done = jax.jit(lambda purifier, keys, x: purifier.run(keys, x))(*placed)
    assert len(done.image.sharding.device_set) == 8
    assert_same(done, run(recipes()[name], keys(B), images(B)))


@each_adaptive
def test_the_ragged_walk_gives_the_same_as_the_scan(name):
    ragged = dataclasses.replace(recipes()[name], walk=Ragged(5))
    assert_same(run(ragged, keys(B), images(B)), run(recipes()[name], keys(B), images(B)))


@each_differentiable
def test_gradients_are_finite_and_not_zero(name):
    found = gradient(differentiable_recipes()[name], keys(8), images(8))
    assert jnp.all(jnp.isfinite(found)) and jnp.all(jnp.any(found != 0, axis=(1, 2, 3)))


@each_differentiable
def test_gradients_at_time_zero_are_finite(name):
    """Those of a fixed level are those of the identity; a soft one may still lean on t(x)."""
    assert jnp.all(jnp.isfinite(gradient(at_zero(differentiable_recipes()[name]), keys(8), images(8))))


@each_differentiable
def test_gradients_of_a_row_do_not_depend_on_the_other_rows(name):
    recipe, some = differentiable_recipes()[name], np.asarray([5, 0, 7, 2, 1, 6, 3, 4])
    found = gradient(recipe, keys(8)[some], images(8)[some])
    np.testing.assert_allclose(found, gradient(recipe, keys(8), images(8))[some], atol=1e-4, rtol=1e-4)
