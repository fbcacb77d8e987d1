"""Every way to differentiate a defence: what it keeps, and whose gradient it takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.describe import describe
from ssni_jax.purify import (
    Bpda,
    BpdaIdentity,
    BpdaOneStep,
    Buckets,
    Defense,
    Exact,
    FrozenTime,
    Identity,
    Nested,
    SoftTime,
    StraightThroughTime,
    Surrogate,
    Vote,
    Voting,
)
from tests.kit import Gaussian, images, keys, recipes

B = 6
X = images(B)
MODES = (
    *(Exact(Nested()), Exact(Buckets(2)), SoftTime(), StraightThroughTime(), FrozenTime()),
    *(BpdaIdentity(), BpdaOneStep()),
)


def loss(purify, keys, x):
    """A sum in which every pixel counts differently."""
    return jnp.sum(jnp.sin(4 * purify(keys, x)) * jnp.linspace(0.5, 1.5, x[0].size).reshape(x.shape[1:]))


@jax.jit
def value_and_gradient(purify, x):
    return purify(keys(B), x), jax.grad(lambda x: loss(purify, keys(B), x))(x)


@jax.jit
def cotangent_at(purified):
    """The gradient of the loss by the purified image."""
    return jax.grad(lambda x: loss(Identity(), keys(B), x))(purified)


@jax.jit
def image_of(purify, x):
    return purify(keys(B), x)


def under(mode, name="ssni_n diffpure_ddpm"):
    return mode(Defense(recipes()[name], Gaussian())).purify


@pytest.mark.parametrize(
    "mode",
    [
        *(pytest.param(mode, id=mode.name, marks=pytest.mark.slow) for mode in MODES[:2]),  # test_buckets.py
        pytest.param(StraightThroughTime(), id="straight-through t"),
        *(pytest.param(mode, id=mode.name, marks=pytest.mark.slow) for mode in MODES[4:]),  # held levels, below
    ],
)
def test_every_mode_but_the_soft_one_keeps_the_images(mode):
    np.testing.assert_allclose(image_of(under(mode), X), image_of(under(Exact()), X), atol=1e-6)


def test_a_vote_is_taken_of_whatever_is_differentiated():
    shorter, soft = Surrogate(2, then=Voting(3)), Voting(3, then=SoftTime())
    defense = Defense(recipes()["ssni_n diffpure_ddpm"], Gaussian())
    assert shorter.name == "surrogate of 2 steps per round, vote of 3 draws" and soft.name == "vote of 3 draws, soft t"
    for mode, inner in ((shorter, Surrogate(2)), (soft, SoftTime())):
        assert describe(mode(defense)) == describe(Vote(inner(defense), 3))


@pytest.mark.slow
@pytest.mark.parametrize("walk", [Nested(), Buckets(2)], ids=repr)
def test_other_walks_give_the_gradient_of_the_scan(walk):
    purify = under(SoftTime())
    found, expected = value_and_gradient(purify.with_walk(walk), X), value_and_gradient(purify, X)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-4)


def test_bpda_with_the_identity_takes_the_gradient_at_the_purified_image():
    purified, found = value_and_gradient(under(BpdaIdentity()), X)
    np.testing.assert_allclose(found, cotangent_at(purified), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_bpda_with_one_step_takes_the_vector_jacobian_product_of_one_step():
    purified, found = value_and_gradient(under(BpdaOneStep()), X)
    one_step = under(Surrogate(1))
    expected = jax.jit(lambda x: jax.vjp(lambda x: one_step(keys(B), x), x)[1](cotangent_at(purified))[0])(X)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_freezing_a_soft_level_leaves_the_gradient_of_held_levels():
    soft = SoftTime()(Defense(under(Exact()), Gaussian()))
    held = jax.jit(lambda x: soft.purify.hold(keys(B), x))(X)
    frozen = value_and_gradient(FrozenTime()(soft).purify, X)[1]
    np.testing.assert_allclose(frozen, value_and_gradient(held, X)[1], rtol=1e-4, atol=1e-5)
    assert jnp.max(jnp.abs(frozen - value_and_gradient(soft.purify, X)[1])) > 1e-2


@pytest.mark.slow
def test_straight_through_t_lets_a_gradient_through_the_rounded_level():
    exact, through = (value_and_gradient(under(mode), X)[1] for mode in (Exact(), StraightThroughTime()))
    assert jnp.max(jnp.abs(exact - through)) > 1e-2


@pytest.mark.parametrize(
    "mode",
    [
        *(pytest.param(mode, id=mode.name, marks=pytest.mark.slow) for mode in MODES[:2]),
        *(pytest.param(mode, id=mode.name) for mode in MODES[2:]),
    ],
)
def test_every_mode_keeps_its_levels_fixed_when_held(mode):
    """And then they are those of the image at which they were held, not of the one that is purified."""
    held = jax.jit(lambda x: under(mode).hold(keys(B), x))(X)
    expected = jax.jit(lambda x: under(Exact(), "ssni_n diffpure_ddpm").hold(keys(B), x))(X)
    purify, reference = (each.purify if isinstance(each, Bpda) else each for each in (held, expected))
    np.testing.assert_allclose(purify.deviation.value, reference.deviation.value, rtol=1e-5)


def test_names_are_distinct_and_say_which_walk():
    names = [mode.name for mode in (Exact(), *MODES, Surrogate(5), Surrogate(5, SoftTime()))]
    assert Surrogate(5, SoftTime()).name == "surrogate of 5 steps per round, soft t"
    assert len(set(names)) == len(names)
    assert Exact(Nested()).name == "exact (nested)"
