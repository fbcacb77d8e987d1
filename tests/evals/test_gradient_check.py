"""The gradient check finds what is exact, what is not, and what is wrong."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import CrossEntropy
from ssni_jax.core.pytree import pytree
from ssni_jax.evals.gradient_check import (
    TOLERANCE,
    Case,
    ModeCheck,
    approximations,
    compare,
    compare_slopes,
    cosine,
    exact_in_time,
    gradient,
    passes,
    relative,
    stored_gradient,
)
from ssni_jax.purify import Defense, NoDeviation
from tests.kit import SHAPE, Linear, images, keys, recipes

CASE = Case(keys(6), images(6), jnp.arange(6) % 5, CrossEntropy())


@pytree
class Lying:
    """A classifier whose gradient is a tenth too long."""

    classify: Linear

    def __call__(self, x):
        @jax.custom_vjp
        def lengthened(x):
            return x

        lengthened.defvjp(lambda x: (x, None), lambda _, gradient: (1.1 * gradient,))
        return self.classify(lengthened(x))


CLASSIFY = Linear(np.random.default_rng(0).normal(size=(int(np.prod(SHAPE)), 5)).astype(np.float32))
QUICK = ("diffpure_ode",)


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in recipes()])
def test_the_exact_gradient_of_every_recipe_is_that_of_plain_autodiff(name):
    defense = Defense(recipes()[name], CLASSIFY)
    assert relative(gradient(CASE, defense), stored_gradient(CASE, defense)[0]) <= TOLERANCE


@pytest.fixture(scope="module")
def rows():
    return {row.mode: row for row in compare(CASE, Defense(recipes()["ssni_n diffpure_ddpm"], CLASSIFY), 2)}


@pytest.mark.slow
def test_every_exact_mode_passes_and_stand_ins_are_not_asked_to(rows):
    assert [mode for mode, row in rows.items() if row.error is not None][:3] == [
        *("exact", "exact (nested)", "exact (buckets)")
    ]
    assert all(passes(row) or row.error < 10 * row.floor for row in rows.values())
    assert len(rows) == 9 and sum(row.error is None for row in rows.values()) == 5


@pytest.mark.slow
def test_stand_ins_point_elsewhere_and_frozen_time_does_not_where_t_is_rounded(rows):
    assert rows["frozen t"].cosine > 0.9999
    assert all(rows[mode].cosine < 0.9999 for mode in ("BPDA (identity)", "BPDA (one step)", "straight-through t"))


def test_a_fixed_level_has_no_modes_of_time():
    defense = Defense(recipes()["diffpure_ode"], CLASSIFY)
    assert isinstance(defense.purify.deviation, NoDeviation)
    assert exact_in_time(defense) == ()
    assert [mode.name for mode in approximations(defense)] == ["BPDA (one step)", "BPDA (identity)"]


def test_a_wrong_gradient_is_found_by_autodiff_and_by_slopes():
    honest = Defense(recipes()["diffpure_ode"], CLASSIFY)
    lying = dataclasses.replace(honest, classify=Lying(CLASSIFY))
    first = next(compare(CASE, lying, 2))
    assert abs(first.error - 0.1) < 1e-3 and not passes(first)
    (found,), (wrong,) = (list(compare_slopes(CASE, each)) for each in (honest, lying))
    assert found.error < 5e-3 and abs(wrong.error - 1 / 11) < 1e-2


@pytest.mark.slow
def test_slopes_of_a_soft_level_confirm_the_gradient_through_the_score_norm():
    defense = Defense(recipes()["ssni_n diffpure_ddpm"], CLASSIFY)
    held, soft = compare_slopes(CASE, defense)
    assert held.mode == "exact, t held" and held.error < 5e-3
    assert soft.mode == "soft t" and soft.error < 0.05
    assert soft.floor < 0.05


def test_nan_does_not_pass():
    assert passes(ModeCheck("exact", 1e-6, 1e-7, 1.0)) and not passes(ModeCheck("exact", float("nan"), 1e-7, 1.0))


def test_a_zero_gradient_equals_another_and_has_no_direction():
    zero = jnp.zeros((2, *SHAPE))
    other = zero.at[1, 0].set(1.0)
    assert relative(zero, zero) == 0.0
    assert relative(other, zero) == np.inf
    assert np.isnan(cosine(other, other)) and np.isclose(cosine(other[1:], other[1:]), 1.0)
