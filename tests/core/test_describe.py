import json

import jax.numpy as jnp
import pytest

from ssni_jax.core.describe import describe, rebuild
from ssni_jax.purify import Constant, Round
from ssni_jax.schedules import Strided
from ssni_jax.solvers import Ancestral, FixedSmall
from tests.kit import over_n, recipes

KINDS = {kind.__name__: kind for kind in (Round, Constant, Strided, Ancestral, FixedSmall)}


def test_a_value_says_its_kind_and_its_fields():
    assert describe(Strided(4, 0.2)) == {"kind": "Strided", "n_steps": 4, "t_max": 0.2}


def test_a_description_is_plain_json():
    purifier = over_n(recipes()["rounds"])
    assert json.loads(json.dumps(describe(purifier))) == describe(purifier)


def test_arrays_become_lists_and_nothing_else_changes_kind():
    plain = {"a": jnp.arange(2.0), "b": (1, True, None, "x", 0.5)}
    assert describe(plain) == {"a": [0.0, 1.0], "b": [1, True, None, "x", 0.5]}


def test_rebuilding_is_the_inverse_of_describing():
    value = (Strided(4, 0.2), Ancestral(eta=0.0), Constant(0.3))
    again = rebuild(describe(value), KINDS)
    assert [type(v) for v in again] == [type(v) for v in value]
    assert describe(again) == describe(value)


def test_a_kind_that_is_not_known_is_refused_by_name():
    with pytest.raises(ValueError, match="'Strided' is not one of Ancestral"):
        rebuild(describe(Strided(4)), {"Ancestral": Ancestral})
