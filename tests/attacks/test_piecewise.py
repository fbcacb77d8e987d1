"""Thresholds per row: each solves its equation, checked in float64, and does not see the other rows."""

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.attacks.piecewise import cutoff, excess, filled

B, N = 6, 200
RNG = np.random.default_rng(0)
SIZE, CAP = RNG.gamma(0.5, size=(B, N)).astype(np.float32), RNG.random((B, N)).astype(np.float32)
SIZE[:, ::7], CAP[:, ::7] = 0.0, 0.0
CAP[:, 1::7] = 0.0
TOTAL = np.asarray([0.0, 1e-3, 1.0, 10.0, 40.0, 60.0], np.float32)


def solved(function, *rows):
    """The result of all rows together, and whether each row alone gives the same bits."""
    run = jax.jit(function)
    result = np.asarray(run(*map(jnp.asarray, rows)))
    alone = [run(*(jnp.asarray(np.repeat(row[k : k + 1], B, axis=0)) for row in rows))[0] for k in range(B)]
    np.testing.assert_array_equal(result, alone)
    return result


def test_lines_are_filled_up_to_the_total():
    slope = np.where(SIZE > 0, SIZE, 0)
    s = solved(filled, slope, CAP, TOTAL)
    np.testing.assert_allclose(np.minimum(np.float64(s)[:, None] * slope, CAP).sum(axis=1), TOTAL, rtol=1e-6)
    ends = np.max(CAP / np.where(slope == 0, 1, slope), axis=1)
    np.testing.assert_array_equal(jax.jit(filled)(slope, CAP, jnp.full(B, 1e9)), ends.astype(np.float32))


def test_the_excess_leaves_the_total():
    s = solved(excess, SIZE, CAP, TOTAL)
    left = np.clip(np.float64(SIZE) - s[:, None], 0, CAP).sum(axis=1)
    whole = np.minimum(np.float64(SIZE), CAP).sum(axis=1)
    np.testing.assert_allclose(left, np.minimum(TOTAL, whole), rtol=2e-6, atol=1e-6)
    assert np.all((s == 0) == (whole <= TOTAL))


def test_the_cutoff_is_the_value_at_which_a_sorted_mass_reaches_the_total():
    values, mass = np.round(SIZE, 1), CAP
    order = np.argsort(-values, axis=1, kind="stable")
    ranked, sums = (np.take_along_axis(v, order, axis=1) for v in (values, np.float64(mass)))
    first = np.argmax(np.cumsum(sums, axis=1) >= TOTAL[:, None], axis=1)
    expected = ranked[np.arange(B), first]
    np.testing.assert_array_equal(solved(cutoff, values, mass, TOTAL)[1:], expected[1:])
    assert np.all(np.asarray(jax.jit(cutoff)(values, mass, jnp.full(B, 1e9))) == 0)
