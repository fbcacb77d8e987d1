import numpy as np
import pytest

from ssni_jax.core.describe import describe
from ssni_jax.purify import Defense
from ssni_jax.purify.surrogate import surrogate
from tests.kit import Gaussian, images, keys, recipes, run


def without_counts(description):
    """The description with every n_steps left out."""
    if isinstance(description, dict):
        return {key: without_counts(value) for key, value in description.items() if key != "n_steps"}
    return [without_counts(value) for value in description] if isinstance(description, list) else description


@pytest.mark.parametrize("name", [name for name in recipes() if "unpurified" not in name])
def test_a_surrogate_differs_in_step_counts_only(name):
    defense = Defense(recipes()[name], Gaussian())
    cheap = surrogate(defense, 1)
    assert without_counts(describe(cheap)) == without_counts(describe(defense))
    assert all(each.grid.n_steps == 1 for each in cheap.purify.rounds)


def test_a_surrogate_keeps_the_noise_levels_and_costs_less():
    defense = Defense(recipes()["ssni_n diffpure_ddpm"], Gaussian())
    cheap, full = (run(each.purify, keys(8), images(8)) for each in (surrogate(defense, 2), defense))
    np.testing.assert_array_equal(cheap.t, full.t)
    np.testing.assert_array_equal(cheap.noised, full.noised)
    assert np.sum(cheap.n_calls) < np.sum(full.n_calls)


def test_a_surrogate_never_takes_more_steps_than_the_defence():
    rounds = recipes()["ssni_n rounds"].rounds
    cheap = surrogate(Defense(recipes()["ssni_n rounds"], Gaussian()), 4).purify.rounds
    assert [each.grid.n_steps for each in rounds] == [3, 5]
    assert [each.grid.n_steps for each in cheap] == [3, 4]
