import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import (
    CrossEntropy,
    Deviated,
    DiffHammer,
    Joint,
    Linf,
    LowerNorm,
    Margin,
    Objective,
    Pgd,
    Phases,
    RaiseNorm,
)
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import normal_like
from ssni_jax.purify import Defense, predictor
from ssni_jax.purify.predictors import Predictor
from ssni_jax.recipes.selector_attacks import selector_attacks
from tests.kit import SHAPE, Linear, images, keys, recipes

B, EPS = 6, 0.1
X, Y = 0.25 + 0.5 * images(B), jnp.arange(B) % 3
CLASSIFY = Linear(np.random.default_rng(0).normal(size=(int(np.prod(SHAPE)), 3)).astype(np.float32))


@pytree
class Measures(Predictor):
    """A classifier of noised images that also shows their squared distance from grey as the deviation."""

    noise: float = 0.05

    def trace(self, keys, x, save=None):
        noised = x + self.noise * normal_like(keys, x)
        trace = predictor(CLASSIFY).trace(keys, noised)
        return trace._replace(deviation=100 * jnp.sum((noised - 0.5) ** 2, axis=(1, 2, 3)))

    def undefended(self):
        return predictor(CLASSIFY)


@jax.jit
def driven(attack, objective, keys, x, y):
    """What the attack shows after every iteration, made in one scan, and at the end."""

    def iterate(state, i):
        state = attack.update(keys, i, objective, state, x, y)
        return state, attack.result(state)

    state, curve = jax.lax.scan(iterate, attack.init(keys, objective, x, y), jnp.arange(attack.n_iterations))
    return attack.result(state), curve


def inside(image):
    return jnp.all(jnp.abs(image - X) <= EPS + 1e-6) and jnp.all((image >= 0) & (image <= 1))


RAISED = pytest.param(RaiseNorm(100.0), 1, marks=pytest.mark.slow, id="raise")  # the other sign of one loss


@pytest.mark.parametrize(("loss", "sign"), [pytest.param(LowerNorm(100.0), -1, id="lower"), RAISED])
def test_the_score_norm_and_with_it_the_noise_level_goes_where_it_is_driven(loss, sign):
    """Although t is rounded: the norm has a gradient of its own."""
    purify = recipes()["ssni_n consistency"]
    result, curve = driven(Pgd(Linf(EPS), 0.03, 4), Objective(loss=loss).of(Defense(purify, CLASSIFY)), keys(B), X, Y)
    before, after = (jax.jit(purify.measure)(keys(B, seed=5), x) for x in (X, result.image))
    change = sign * (after - before)
    assert inside(result.image) and jnp.all(change > 0) and jnp.mean(change) > 0.1 * jnp.mean(before)
    assert jnp.all(sign * (purify.times(after)[0] - purify.times(before)[0]) > 0)
    np.testing.assert_array_less(curve.loss[0], curve.loss[-1])


def test_scales_are_units_of_the_norm():
    trace = Measures().trace(keys(B), X)
    np.testing.assert_allclose(RaiseNorm(20.0)(trace, Y), trace.deviation / 20, rtol=1e-6)
    np.testing.assert_allclose(LowerNorm(20.0)(trace, Y), -trace.deviation / 20, rtol=1e-6)


@pytest.mark.slow
def test_the_gradient_of_a_joint_loss_is_the_weighted_sum():
    gradient = jax.jit(lambda loss: Objective(loss=loss, n_draws=2).of(Measures()).gradient(keys(B), X, Y))
    parts = gradient(Margin()), gradient(LowerNorm(20.0))
    joint = gradient(Joint(Margin(), LowerNorm(20.0), weight=3.0))
    np.testing.assert_allclose(joint, parts[0] + 3 * parts[1], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_joint_loss_saves_what_its_part_looks_at():
    assert Joint(Deviated(every=2), LowerNorm()).save.every == Joint(Margin(), Deviated(every=2)).save.every == 2
    assert Joint(Margin(), LowerNorm()).save is None
    with pytest.raises(ValueError, match=r"Only one part .* got Deviated and Deviated"):
        Joint(Deviated(), Deviated())


def test_a_held_level_cannot_be_driven():
    for loss in (LowerNorm(), Joint(Margin(), RaiseNorm())):
        with pytest.raises(
            ValueError, match=f"{type(loss).__name__} has no gradient at levels that are held: set hold"
        ):
            Objective(loss=loss, hold=True)
    assert Objective(loss=Joint(Margin(), CrossEntropy()), hold=True).hold
    with pytest.raises(ValueError, match="set hold=False"):
        Phases().init(keys(B), Objective(hold=True).of(Measures()), X, Y)


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(Pgd(Linf(EPS), 0.0, 2, True), id="pgd", marks=pytest.mark.slow),
        pytest.param(DiffHammer(Linf(EPS), 0.0, 2), id="diffhammer"),
    ],
)
def test_the_second_phase_begins_at_the_image_of_the_first(then):
    """Although it would begin at a random point; its steps have length zero here, so it stays."""
    first, objective = Pgd(Linf(EPS), 0.03, 3), Objective(loss=Margin()).of(Measures())
    alone, _ = driven(first, objective.with_loss(LowerNorm()), keys(B), X, Y)
    both, curve = driven(Phases(first, then), objective, keys(B), X, Y)
    np.testing.assert_allclose(both.image, alone.image, atol=1e-6)
    np.testing.assert_allclose(curve.loss[2], alone.loss, rtol=1e-5)
    assert jnp.all(curve.loss[:3] < -1) and jnp.all(curve.loss[3:] > -10)
    np.testing.assert_array_equal(curve.n_queries[:, 0], [1, 2, 3, 4, 5])


@pytest.mark.slow
def test_the_second_phase_raises_the_objectives_loss_within_the_ball_of_the_clean_image():
    phases = Phases(Pgd(Linf(EPS), 0.05, 3), Pgd(Linf(EPS), 0.05, 4), RaiseNorm())
    objective = Objective(loss=Margin()).of(Measures(noise=0.0))
    result, curve = driven(phases, objective, keys(B), X, Y)
    assert inside(result.image) and all(map(inside, curve.image))
    assert jnp.all(curve.loss[-1] > curve.loss[3])


@pytest.mark.slow
def test_a_row_goes_through_its_phases_alike_alone_and_in_any_batch():
    phases, objective = Phases(Pgd(Linf(EPS), 0.03, 2), Pgd(Linf(EPS), 0.03, 2)), Objective(n_draws=2).of(Measures())
    whole = driven(phases, objective, keys(B), X, Y)[0]
    reverse = driven(phases, objective, keys(B)[::-1], X[::-1], Y[::-1])[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[::-1], atol=1e-4), whole, reverse)


@pytest.mark.slow
def test_no_two_iterations_of_the_phases_share_their_draws():
    seen = []

    @pytree
    class Spy(Predictor):
        def trace(self, keys, x, save=None):
            bits = jax.random.key_data(keys)
            jax.debug.callback(lambda bits: seen.extend(map(tuple, np.asarray(bits).tolist())), bits)
            return Measures().trace(keys, x)

    phases = Phases(Pgd(Linf(EPS), 0.0, 2), Pgd(Linf(EPS), 0.0, 3))
    jax.block_until_ready(driven(phases, Objective(n_draws=2).of(Spy()), keys(B), X, Y))
    jax.effects_barrier()
    assert len(seen) == len(set(seen)) == 5 * 2 * B


@pytest.mark.slow
def test_the_listing_treats_t_in_every_way_and_each_attack_runs():
    listing = selector_attacks(Linf(EPS), 4, step_size=0.03, n_draws=2, scale=50.0)
    assert [objective.gradient_name for _, objective in listing.values()] == [
        *("exact", "soft t", "straight-through t"),
        *("soft t",) * 4,
    ]
    assert [objective.hold for _, objective in listing.values()] == [True] + 6 * [False]
    norm = {}
    for name, (attack, objective) in listing.items():
        assert attack.n_iterations == 4
        result, _ = driven(attack, objective.of(Measures()), keys(B), X, Y)
        norm[name] = float(jnp.mean(Measures(0.0).trace(keys(B), result.image).deviation))
        assert inside(result.image)
    assert norm["lower the norm too"] < norm["t soft"] < norm["raise the norm too"]
    assert norm["lower the norm first"] < norm["raise the norm first"]
    with pytest.raises(ValueError, match="got n_first=0 of n_steps=1: raise n_steps"):
        selector_attacks(n_steps=1)
