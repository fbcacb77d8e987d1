"""A defence in fewer steps per round: `with_steps`."""

import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.describe import describe
from ssni_jax.purify import Defense, Surrogate
from ssni_jax.schedules import VP, Listed, Strided, Thinned
from tests.kit import Gaussian, images, keys, recipes, run


def without_counts(description):
    """The description with every n_steps left out, and with a thinned grid as the grid it was."""
    if isinstance(description, dict) and description.get("kind") == "Thinned":
        return without_counts(description["grid"])
    if isinstance(description, dict):
        return {key: without_counts(value) for key, value in description.items() if key != "n_steps"}
    return [without_counts(value) for value in description] if isinstance(description, list) else description


@pytest.mark.parametrize("name", [name for name in recipes() if "unpurified" not in name])
def test_a_surrogate_differs_in_step_counts_only(name):
    defense = Defense(recipes()[name], Gaussian())
    cheap = Surrogate(1)(defense)
    assert without_counts(describe(cheap)) == without_counts(describe(defense))
    assert all(round.grid.n_steps == 1 for round in cheap.purify.rounds)


def test_a_surrogate_keeps_the_noise_levels_and_costs_less():
    purifier = recipes()["ssni_n diffpure_ddpm"]
    cheap, full = (run(p, keys(8), images(8)) for p in (purifier.with_steps(2), purifier))
    np.testing.assert_array_equal(cheap.t, full.t)
    np.testing.assert_array_equal(cheap.noised, full.noised)
    assert np.sum(cheap.n_calls) < np.sum(full.n_calls)


def test_a_surrogate_never_takes_more_steps_than_the_defence():
    purifier = recipes()["ssni_n rounds"]
    assert [round.grid.n_steps for round in purifier.rounds] == [3, 5]
    assert [round.grid.n_steps for round in purifier.with_steps(4).rounds] == [3, 4]


def test_a_surrogate_of_no_steps_is_refused():
    with pytest.raises(ValueError, match="at least one solver step per round, got n_steps=0"):
        Surrogate(0)


def test_a_listed_grid_is_thinned_between_its_ends():
    grid, t = Listed((0, 4, 9, 49, 99)), jnp.asarray([0.1, 0.03])
    levels = np.asarray(grid(VP(), t))
    np.testing.assert_array_equal(grid.with_steps(2)(VP(), t), levels[[0, 2, 5]])
    assert grid.with_steps(9) is grid


def test_thinning_a_grid_of_equal_steps_is_taking_larger_ones():
    t = jnp.asarray([0.1, 0.034])
    np.testing.assert_allclose(Thinned(Strided(20), 4)(VP(), t), Strided(4)(VP(), t), atol=1e-6)
