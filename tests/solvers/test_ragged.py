import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.solvers import Ancestral, Heun, ragged, solve
from tests.kit import images, keys, two_modes

B = 12
X = 2 * images(B) - 1
rng = np.random.default_rng(0)
STEPPED = np.sort(rng.choice([0.0, 0.1, 0.2, 0.3, 0.5, 0.8], (9, B)), axis=0)[::-1]  # repeats inside the columns
STEPPED[-1], STEPPED[:, 3], STEPPED[:, 7] = 0.0, 0.0, np.linspace(0.8, 0.0, 9)
LEVELS = jnp.asarray(STEPPED, jnp.float32)
COUNTS = np.sum(STEPPED[:-1] != STEPPED[1:], axis=0)


def run(step, levels, n_slots, denoise=None):
    denoise_at = lambda rows: denoise or two_modes()  # noqa: E731
    return jax.jit(lambda x, levels: ragged.solve(keys(B), denoise_at, step, x, levels, n_slots=n_slots))(X, levels)


@pytest.fixture(scope="module")
def by_slots():
    return {n: run(Ancestral(), LEVELS, n) for n in (1, 3, 5, B, 40)}


@pytest.fixture(scope="module")
def solved():
    return jax.jit(lambda x: solve(keys(B), two_modes(), Ancestral(), x, LEVELS))(X)


def test_the_columns_repeat_levels_in_their_middle():
    moves = STEPPED[:-1] != STEPPED[1:]
    assert any("101" in "".join(map(str, column.astype(int))) for column in moves.T)


@pytest.mark.parametrize("n_slots", [1, 3, 5, B, 40])
def test_any_number_of_slots_gives_the_images_of_solve(by_slots, solved, n_slots):
    np.testing.assert_allclose(by_slots[n_slots].x, solved, atol=1e-6)


def test_a_two_call_step_gives_the_images_of_solve():
    expected = jax.jit(lambda x: solve(keys(B), two_modes(), Heun(), x, LEVELS))(X)
    np.testing.assert_allclose(run(Heun(), LEVELS, 4).x, expected, atol=1e-6)


def test_one_slot_pays_for_every_nonzero_step_once(by_slots):
    assert by_slots[1].n_iterations == COUNTS.sum()


def test_as_many_slots_as_images_take_as_long_as_the_longest(by_slots):
    assert by_slots[B].n_iterations == by_slots[40].n_iterations == COUNTS.max()


@pytest.mark.parametrize("n_slots", [3, 5])
def test_the_next_longest_sample_goes_to_the_slot_that_is_free_first(by_slots, n_slots):
    ends = np.zeros(n_slots)
    for count in np.sort(COUNTS)[::-1]:
        ends[np.argmin(ends)] += count
    assert by_slots[n_slots].n_iterations == ends.max()


def test_nothing_to_do_takes_no_iteration_and_changes_nothing():
    solved = run(Ancestral(), 0 * LEVELS, 3)
    assert solved.n_iterations == 0
    np.testing.assert_array_equal(solved.x, X)


def test_the_network_sees_positive_levels_only_and_each_nonzero_step_once():
    seen = []

    def denoise(x, sigma):
        jax.debug.callback(lambda sigma: seen.append(np.asarray(sigma)), sigma)
        return 0.5 * x

    solved = run(Ancestral(), LEVELS, 5, denoise)
    jax.effects_barrier()
    assert len(seen) == solved.n_iterations and np.min(seen) > 0
    starts = np.sort(STEPPED[:-1][STEPPED[:-1] != STEPPED[1:]])
    busy = np.sort(np.concatenate(seen))
    np.testing.assert_allclose(busy[busy < 1.0], starts.astype(np.float32), rtol=1e-6)


def test_a_slots_denoiser_is_that_of_its_sample():
    target = jnp.arange(B, dtype=jnp.float32)
    denoise_at = lambda rows: lambda x, sigma: jnp.broadcast_to(target[rows][:, None, None, None], x.shape)  # noqa: E731
    solved = jax.jit(lambda x: ragged.solve(keys(B), denoise_at, Ancestral(), x, LEVELS, n_slots=4))(X)
    np.testing.assert_allclose(solved.x[COUNTS > 0, 0, 0, 0], target[COUNTS > 0], atol=1e-6)


@pytest.mark.parametrize("n_parts", [1, 2, 8])
def test_dealing_is_a_permutation_with_balanced_sums(n_parts):
    cost = jnp.asarray(np.random.default_rng(1).exponential(size=64), jnp.float32)
    dealt = ragged.deal(cost, n_parts)
    assert sorted(dealt.tolist()) == list(range(64))
    sums = np.asarray(cost)[np.asarray(dealt)].reshape(n_parts, -1).sum(axis=1)
    assert sums.max() - sums.min() <= cost.max()


def test_dealing_goes_back_and_forth():
    assert ragged.deal(jnp.asarray([6.0, 5, 4, 3, 2, 1]), 2).tolist() == [0, 3, 4, 1, 2, 5]
