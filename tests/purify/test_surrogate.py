import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.describe import describe
from ssni_jax.core.pytree import pytree
from ssni_jax.purify import Defense
from ssni_jax.purify.surrogate import Thinned, shortened, surrogate
from ssni_jax.schedules import Strided
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


def test_a_grid_without_a_count_of_its_own_is_thinned_between_its_ends():
    @pytree
    class Fixed:
        def __call__(self, t):
            return jnp.asarray([1.0, 0.9, 0.5, 0.3, 0.0])[:, None] * t

    t = jnp.asarray([0.1, 0.2])
    np.testing.assert_allclose(shortened(Fixed(), 2)(t), [[0.1, 0.2], [0.05, 0.1], [0.0, 0.0]], rtol=1e-6)
    np.testing.assert_array_equal(shortened(Fixed(), 9)(t), Fixed()(t))


def test_thinning_a_grid_of_equal_steps_is_taking_larger_ones():
    t = jnp.asarray([0.1, 0.034])
    np.testing.assert_allclose(Thinned(Strided(20), 4)(t), Strided(4)(t), atol=1e-7)
