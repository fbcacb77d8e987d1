import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from ssni_jax.training import ConstantLevels, Doubling, DoublingAhead, Neighbours, Ratios, SquareRoot

KEYS = jax.random.split(jax.random.key(0), 4000)


def at(pairs, step=0, n_steps=100):
    return jax.tree.map(np.asarray, pairs(KEYS, jnp.asarray(step), n_steps))


@pytest.mark.parametrize(
    ("curriculum", "first", "last"),
    [(ConstantLevels(18), 18, 18), (SquareRoot(), 2, 151), (Doubling(), 11, 1281), (DoublingAhead(), 21, 81)],
)
def test_a_curriculum_has_its_published_ends_and_never_falls(curriculum, first, last):
    n = [float(curriculum(jnp.asarray(step), 400)) for step in range(0, 401, 20)]
    assert n[0] == first and n[-1] == last and np.all(np.diff(n) >= 0) and np.all(np.mod(n, 1) == 0)


def test_neighbours_are_adjacent_levels_of_the_grid_equally_often():
    levels = np.linspace(0.002 ** (1 / 7), 80 ** (1 / 7), 18) ** 7
    pair = at(Neighbours(ConstantLevels(18)))
    places = np.abs(pair.hi[:, None] - levels).argmin(1)
    np.testing.assert_allclose(pair.hi, levels[places], rtol=1e-4)
    np.testing.assert_allclose(pair.lo, levels[places - 1], rtol=1e-4)
    np.testing.assert_allclose(np.bincount(places, minlength=18)[1:] / len(KEYS), 1 / 17, atol=0.015)
    assert np.all(pair.weight == 1)


def test_likelier_neighbours_have_the_mass_between_their_levels():
    mean, std, n = -1.1, 2.0, 11
    levels = np.linspace(0.002 ** (1 / 7), 80 ** (1 / 7), n) ** 7
    mass = np.diff(erf((np.log(levels) - mean) / (np.sqrt(2) * std)))
    pair = at(Neighbours(ConstantLevels(n), log_mean=mean, log_std=std, by_gap=True))
    places = np.abs(pair.lo[:, None] - levels).argmin(1)
    np.testing.assert_allclose(np.bincount(places, minlength=n)[:-1] / len(KEYS), mass / mass.sum(), atol=0.025)
    np.testing.assert_allclose(pair.weight, 1 / (pair.hi - pair.lo), rtol=1e-4)


def test_ratios_begin_with_the_clean_image_and_close_up():
    first, last = at(Ratios(), 0), at(Ratios(), 99)
    assert np.mean(first.lo == 0) > 0.5  # 1 + 8 sigmoid(-t) is 5 at small t, and halved it is more than one
    share = last.lo / last.hi
    np.testing.assert_allclose(share, 1 - 2.0**-8 * (1 + 8 / (1 + np.exp(last.hi))), rtol=1e-4)
    for pair in (first, last):
        assert np.all(pair.lo >= 0) and np.all(pair.lo < pair.hi) and np.all(np.isfinite(pair.weight))


def test_ratios_have_lognormal_upper_levels():
    hi = at(Ratios(log_mean=-0.5, log_std=0.7)).hi
    np.testing.assert_allclose([np.log(hi).mean(), np.log(hi).std()], [-0.5, 0.7], atol=0.04)


@pytest.mark.parametrize("make", [lambda: ConstantLevels(1), lambda: Ratios(q=1.0), lambda: Ratios(n_stages=0)])
def test_settings_without_a_pair_are_refused(make):
    with pytest.raises(ValueError, match=r"at least|above"):
        make()
