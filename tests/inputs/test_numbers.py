"""Numbers have bounds where they are declared, and a refusal says what was probably meant."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import L1, L2, Apgd, Fab, Linf, Pgd, Spsa, Square, StAdv
from ssni_jax.core.bounds import as_pixels, bounded
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import checked_seed, root_key
from ssni_jax.experiments.fit import check_budgets
from ssni_jax.purify import Constant, ScoreNorm, SsniLinear, SsniSigmoid
from ssni_jax.recipes import diffpure_sde, pf_ode
from ssni_jax.schedules import VP, Karras, Strided
from ssni_jax.training import DenoisingLoss
from tests.configs.toy import Shrink, evaluation

NAN = float("nan")


@pytree
class Ball:
    """A value whose annotations nobody checks, as outside of tests."""

    radius: float = bounded(0, 1, hint=as_pixels)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Linf(8.0), r"eps must lie between 0 and 1, got 8: did you mean 8/255\?"),
        (lambda: Linf(-0.1), r"eps must lie between 0 and 1, got -0.1: images have pixels from 0 to 1"),
        (lambda: Linf(NAN), "eps must lie between 0 and 1, got nan"),
        (lambda: Linf(float("inf")), "eps must lie between 0 and 1, got inf"),
        (lambda: Linf(np.float64(16)), r"got 16: did you mean 16/255\?"),
        (lambda: Ball("8/255"), "radius must be a number, got '8/255'"),
        (lambda: Ball(True), "radius must be a number, got True"),
        (lambda: Ball((1,)), r"radius must be a number, got \(1,\)"),
        (lambda: L2(-1.0), "eps must be at least 0, got -1"),
        (lambda: L1(NAN), "eps must be at least 0, got nan"),
        (lambda: Pgd(Linf(), -0.01), "step_size must be at least 0, got -0.01"),
        (lambda: Spsa(Linf(), step_size=NAN), "step_size must be at least 0, got nan"),
        (lambda: Fab(alpha_max=2.0), "alpha_max must lie between 0 and 1, got 2"),
        (lambda: Square(p_init=0.0), "p_init must be above 0 and at most 1, got 0"),
        (lambda: Apgd(rho=75.0), "rho must lie between 0 and 1, got 75"),
        (lambda: StAdv(learning_rate=0.0), "learning_rate must be above 0, got 0"),
        (lambda: StAdv(bound=NAN), "bound must be a number, got nan"),
        (lambda: Constant(-0.1), "t_star must be at least 0, got -0.1"),
        (lambda: SsniSigmoid(1.0, 0.0), "tau must be above 0, got 0"),
        (lambda: SsniSigmoid(1.0, NAN), "tau must be above 0, got nan"),
        (lambda: SsniLinear(0.0, 1.0, 0.1, 5.0), r"bias must lie .* did you mean 0.005 \(5 of 1000 steps\)\?"),
        (lambda: Strided(10, 0.0), "t_max must be above 0, got 0"),
        (lambda: Karras(10, sigma_min=-1.0), "sigma_min must be above 0, got -1"),
        (lambda: ScoreNorm(Shrink(), VP(), 2, spacing=0.0), "spacing must be above 0 and at most 1"),
        (lambda: DenoisingLoss(None, p_std=-1.0), "p_std must be at least 0, got -1"),
        (lambda: diffpure_sde(Shrink(), t_star=100.0), r"t_star .* did you mean 0.1 \(100 of 1000 steps\)\?"),
        (lambda: diffpure_sde(Shrink(), t_star=-0.1), "t_star must"),
    ],
)
def test_a_number_out_of_bounds_is_refused_with_a_remedy(make, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        make()
    assert str(error.value).endswith((".", "?")) and "\n" not in str(error.value)


@pytest.mark.parametrize("radius", [0.0, 1, np.float32(1), None])
def test_the_ends_are_allowed(radius):
    assert Ball(radius).radius == radius


def test_time_that_is_the_noise_level_may_exceed_one():
    assert pf_ode(Shrink(), sigma=2.0).rounds


def test_traced_numbers_pass():
    assert jax.jit(lambda radius: Ball(radius).radius + 0.5)(jnp.float32(0.5)) == 1


@pytest.mark.parametrize(
    ("attack", "sentence"),
    [
        (L2(30.0), r"eps = 30 is more than any change .* in L2, which is 8: .* such as 0.5"),
        (Pgd(L1(100.0)), r"eps = 100 is more than any change .* in L1, which is 64"),
        ((Pgd(), Pgd(L2(8.5))), "eps = 8.5 is more"),
        (Pgd(Linf(), 2.0), r"step_size = 2 is more than any change .* in Linf, which is 1: .* such as 0.0314"),
    ],
)
def test_a_radius_that_no_two_images_are_apart_is_refused(attack, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_budgets(attack, (8, 8, 1))
    check_budgets(Pgd(L2(30.0), 2.0), (64, 64, 3))


@pytest.mark.parametrize("seed", [-1, 2**32, 2**64, 1.5, True, "7", None])
def test_a_seed_that_another_one_would_mean_too_is_refused(seed):
    for use in (root_key, checked_seed, lambda seed: dataclasses.replace(evaluation, seed=seed)):
        with pytest.raises((ValueError, TypeError)) as error:
            use(seed)
        assert "Overflow" not in str(error.value)


def test_the_seeds_at_the_ends_differ():
    keys = [jax.random.key_data(root_key(seed)).tolist() for seed in (0, 1, 2**31, 2**31 + 1, 2**32 - 1)]
    assert len({*map(tuple, keys)}) == 5
    with pytest.raises(ValueError, match="order_seed must be a whole number from 0 to 4294967295, got -3"):
        dataclasses.replace(evaluation, order_seed=-3)
