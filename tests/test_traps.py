"""The ten traps that the prototype fell into, each as a test that names it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType

from ssni_jax.core import protocols
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.dist import by_rows, make_mesh, rows, whole
from ssni_jax.networks import EdmCoefficients, Preconditioned
from ssni_jax.networks.network import abstract, flat, make_network, unflat
from ssni_jax.purify import Constant, Purifier, Ragged, Round, ScoreNorm, SsniLinear
from ssni_jax.schedules import VP, Uniform
from ssni_jax.solvers import Ancestral, Euler, Heun, ragged, solve
from tests.kit import NeedsNoise, ShowsSigma, at_zero, images, keys, recipes, run, two_modes, with_leaves

B = 8
X = images(B)
SSNI = recipes()["ssni_n diffpure_ddpm"]
BROKEN = 3
LEVELS = jnp.tile(jnp.asarray([0.8, 0.5, 0.5, 0.2, 0.0])[:, None], B)


class Net(nnx.Module):
    """A raw network with parameters, for images of three channels."""

    def __init__(self, rngs: nnx.Rngs):
        self.mix = nnx.Linear(3, 3, rngs=rngs)

    def __call__(self, x, noise_label):
        return jnp.tanh(self.mix(x)) + noise_label[:, None, None, None]


def broken_rows(x):
    return np.flatnonzero(np.asarray(jnp.any(jnp.isnan(x), axis=(1, 2, 3)))).tolist()


@pytest.mark.slow  # tests/test_laws.py has the same law of other methods
def test_trap_1_the_gradient_through_t_of_x_is_finite_where_the_noise_vanishes():
    """A plain sqrt at sigma 0 has an infinite slope, and infinity times zero is NaN."""
    purifier = at_zero(SSNI.soft())
    slope = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(purifier(keys(B), x)))))(X)
    assert jnp.all(jnp.isfinite(slope))


def test_trap_1_the_gradient_of_a_score_norm_of_zero_is_zero():
    unmoved = ScoreNorm(lambda x, sigma: x, VP(), 3)
    value, slope = jax.jit(jax.value_and_grad(lambda x: jnp.sum(unmoved(keys(B), x))))(X)
    assert value == 0 and jnp.all(slope == 0)


def test_trap_2_a_nan_level_is_loud_in_the_scan():
    """A mask `hi > lo` is false for NaN and would leave the image as it was."""
    found = jax.jit(lambda x, levels: solve(keys(B), two_modes(), Ancestral(), x, levels))(
        X, LEVELS.at[1, BROKEN].set(jnp.nan)
    )
    assert broken_rows(found) == [BROKEN]


def test_trap_2_a_nan_level_is_loud_in_the_ragged_walk():
    walk = jax.jit(lambda x, levels: ragged.solve(keys(B), lambda at: two_modes(), Ancestral(), x, levels, n_slots=3).x)
    assert broken_rows(walk(X, LEVELS.at[1, BROKEN].set(jnp.nan))) == [BROKEN]
    assert broken_rows(walk(X, LEVELS)) == []


@pytest.mark.parametrize("walk", [pytest.param("scan", marks=pytest.mark.slow), "ragged"])
def test_trap_2_a_nan_level_is_loud_when_sharded(walk):
    """Every level of the row is NaN, as after a NaN score norm."""
    mesh = make_mesh()
    purifier = SSNI if walk == "scan" else dataclasses.replace(SSNI, walk=Ragged(2))
    placed = jax.device_put((keys(B), X.at[BROKEN, 0, 0, 0].set(jnp.nan)), rows(mesh))
    sharded = (
        run if walk == "scan" else jax.jit(by_rows(mesh, lambda purifier, keys, x: _by_row(purifier.run(keys, x))))
    )
    done = sharded(jax.device_put(purifier, whole(mesh)), *placed)
    assert broken_rows(done.image) == [BROKEN] and jnp.isnan(done.t.ravel()[BROKEN])


def _by_row(done):
    """t has one row a round; split by rows of the batch it must come last."""
    return done._replace(t=done.t.T)


@pytest.mark.parametrize("step", [Ancestral(), Heun()], ids=repr)
def test_trap_3_idle_rows_reach_the_network_with_a_harmless_level(step):
    """Their result is masked, but a NaN in it would still poison the gradient."""
    idle = LEVELS.at[:, BROKEN].set(0.0)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(solve(keys(B), NeedsNoise(), step, x, idle))))(X)
    assert jnp.all(jnp.isfinite(slope)) and jnp.all(slope[BROKEN] == 1)
    seen = []

    def watched(x, sigma):
        jax.debug.callback(lambda sigma: seen.append(np.asarray(sigma)), sigma)
        return NeedsNoise()(x, sigma)

    done = jax.jit(lambda x: ragged.solve(keys(B), lambda at: watched, step, x, idle, n_slots=5).x)(X)
    jax.effects_barrier()
    assert broken_rows(done) == [] and np.min(seen) > 0


def test_trap_4_a_value_is_rebuilt_without_its_init():
    """JAX rebuilds trees from tracers, shardings and None, which checks at construction would refuse."""
    for value in (SSNI, SSNI.rounds[0], SSNI.deviation, Uniform(2), Ragged(2)):
        leaves, structure = jax.tree.flatten(value)
        assert type(jax.tree.unflatten(structure, [None] * len(leaves))) is type(value)
    with pytest.raises(ValueError, match="at least one step"):
        Uniform(0)


def test_trap_4_protocols_can_be_asked_at_run_time():
    assert isinstance(two_modes(), protocols.Denoiser) and not isinstance(3.0, protocols.Denoiser)
    assert isinstance(VP(), protocols.NoiseSchedule) and not isinstance(Uniform(2), protocols.NoiseSchedule)


def test_trap_5_axes_are_auto_so_that_a_sharded_array_can_be_indexed():
    mesh = make_mesh()
    assert set(mesh.axis_types) == {AxisType.Auto}
    placed, order = jax.device_put(X, rows(mesh)), jnp.asarray([5, 2, 2])
    np.testing.assert_array_equal(placed[order], X[order])
    np.testing.assert_array_equal(jax.jit(lambda x, order: x[order])(placed, order), X[order])


def test_trap_6_weights_are_arguments_and_not_constants_of_the_program():
    weights = jnp.ones((64, 64, 1))
    purifier = with_leaves(SSNI, mode=lambda _: weights)
    x = images(2, shape=(64, 64, 1))
    passed = jax.make_jaxpr(lambda purifier, keys, x: purifier.run(keys, x))(purifier, keys(2), x)
    closed = jax.make_jaxpr(lambda keys, x: purifier.run(keys, x))(keys(2), x)
    largest = lambda program: max((np.size(c) for c in program.consts if hasattr(c, "dtype")), default=0)  # noqa: E731
    assert largest(passed) < weights.size <= largest(closed)


def test_trap_7_numbers_are_data_and_counts_are_structure():
    traces = []

    @jax.jit
    def traced(purifier):
        traces.append(1)
        return purifier(keys(B), X)

    found = [traced(with_leaves(SSNI, t_star=lambda _, t=t: t)) for t in (0.06, 0.08, 0.1)]
    assert len(traces) == 1 and jnp.any(found[0] != found[1]) and jnp.any(found[1] != found[2])
    steps = [dataclasses.replace(each, grid=dataclasses.replace(each.grid, n_steps=7)) for each in SSNI.rounds]
    traced(dataclasses.replace(SSNI, rounds=tuple(steps)))
    assert len(traces) == 2


def test_trap_8_a_network_is_a_value_that_goes_to_flat_keys_and_back():
    """Split once, plain transforms, merged inside; loading needs shapes only."""
    network = make_network(Net(nnx.Rngs(1)))
    graphdef, shapes = abstract(Net)
    arrays = {name: np.asarray(array) for name, array in flat(network.state).items()}
    assert set(arrays) == {"mix/kernel", "mix/bias"}
    loaded = dataclasses.replace(network, graphdef=graphdef, state=unflat(shapes, arrays))
    rounds = (Round(Constant(0.1), Uniform(2), Ancestral()),)
    purifiers = [Purifier(Preconditioned(n, EdmCoefficients()), VP(), rounds) for n in (network, loaded)]
    x = images(B, shape=(4, 4, 3))
    total = jax.jit(jax.value_and_grad(lambda purifier: jnp.sum(purifier(keys(B), x))))
    (value, slopes), (again, _) = map(total, purifiers)
    assert value == again and all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(slopes.denoise.network))


def test_trap_9_the_linear_level_of_a_row_does_not_depend_on_its_batch():
    """The released code widens the range by the batch, so that one far neighbour changes every t."""
    level = SsniLinear(10.0, 30.0, 0.1)
    deviation = jnp.asarray([15.0, 25.0])
    with_neighbours = level(jnp.concatenate([deviation, jnp.asarray([1e4, -1e4])]))
    np.testing.assert_array_equal(with_neighbours[:2], level(deviation))
    np.testing.assert_allclose(with_neighbours[2:], [0.1, 0.0])


@pytest.mark.parametrize("t", [0.1, 0.123456, 0.3])
def test_trap_10_the_denoiser_hears_the_exact_noise_that_was_added(t):
    """No snapping to a grid of levels: what a one-step purifier adds is what it tells the network."""
    sigma = VP().sigma(jnp.asarray(t))
    done = run(Purifier(ShowsSigma(), VP(), (Round(Constant(t), Uniform(1), Euler()),)), keys(B), X)
    np.testing.assert_allclose(2 * done.image - 1, sigma, rtol=1e-6)
    noise = normal_like(fold(fold(fold(keys(B), 1), 0), 0), X)
    np.testing.assert_allclose(2 * (done.noised - X), sigma * noise, atol=1e-6)
