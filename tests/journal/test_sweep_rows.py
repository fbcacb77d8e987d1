"""The worst case over attacks is neither better than the strongest attack nor pulled down by noise."""

from pathlib import Path

import numpy as np
import pytest

from ssni_jax.journal.evaluation import Evaluated
from ssni_jax.journal.sweep import Swept, SweptCell, describe_sweep
from ssni_jax.journal.sweep_rows import cell_rows, oracle_score, strongest, worst_cases
from tests.workdirs import attacked_record


def cell(attack, draws, eps=0.1, group="", defense="a"):
    """A cell with one list of draws per image; class 3 is right."""
    records = [attacked_record(id, draws=labels, answers=labels) for id, labels in enumerate(draws)]
    run = Evaluated(Path(attack), attack, {}, {}, records, [], [], attack_seconds=2.0)
    return SweptCell(defense, attack, "Linf", eps, group, len(draws), Path(attack), run)


def sweep(*cells):
    return Swept(Path("w"), "toy", "ssni sweep toy.py", list(cells))


def test_an_image_is_judged_under_the_attack_that_suits_it():
    """Each attack breaks one of two images in every draw: alone 50 %, together nothing is left."""
    (row,) = worst_cases(sweep(cell("x", [[1] * 4, [3] * 4]), cell("y", [[3] * 4, [1] * 4])))
    assert (row["strongest_alone"], row["oracle"], row["oracle_worst"], row["n"]) == (0.5, 0.0, 0.0, 2)


def test_many_attacks_of_equal_strength_do_not_lower_the_worst_case():
    """Twenty attacks under which every draw is right with probability 0.7: the lowest shares would say far less."""
    draws = np.random.default_rng(0).random((300, 20, 4)) < 0.7
    assert np.mean([oracle_score(list(image)) for image in draws]) == pytest.approx(0.7, abs=0.05)
    assert np.mean(draws.mean(axis=2).min(axis=1)) < 0.3


def test_with_one_draw_the_worst_case_is_the_lowest_answer():
    assert oracle_score([np.array([True]), np.array([False])]) == 0.0


def test_attacks_on_few_images_do_not_hide_the_others():
    """One row of the attacks with at least n images for each n; the strongest needs a quarter of the largest number."""
    large = [cell(name, [[3, 3]] * 8) for name in ("x", "y")]
    few = cell("dear", [[1, 1]])
    rows = worst_cases(sweep(*large, few))
    assert [(row["n"], row["attacks"]) for row in rows] == [(8, ["x", "y"]), (1, ["x", "y", "dear"])]
    assert strongest(cell_rows(sweep(*large, few)))["attack"] == "x"


def test_groups_defences_and_budgets_are_apart():
    mine = [cell(name, [[3, 3]], group="on t(x)") for name in ("x", "y")]
    others = [cell("z", [[1, 1]]), cell("x", [[3, 3]], eps=0.2), cell("x", [[3, 3]], defense="b")]
    rows = worst_cases(sweep(*mine, *others))
    assert [(row["group"], row["oracle"]) for row in rows] == [("", 0.0), ("on t(x)", 1.0)]


def test_a_row_has_its_place_and_what_the_attack_cost():
    (row,) = cell_rows(sweep(cell("x", [[3, 1], [3, 3]])))
    assert (row["budget"], row["accuracy"], row["attack_seconds"], row["attack_draws"]) == ("Linf 0.1", 0.75, 2.0, 20.0)


def test_invalid_predictions_stand_beside_the_accuracy_of_their_cell():
    invalid, valid = cell("x", [[3, -1], [3, 3]]), cell("y", [[3, 1], [3, 3]])
    assert [row["accuracy_invalid"] for row in cell_rows(sweep(invalid, valid))] == [1, 0]
    assert ["1 invalid" in line for line in describe_sweep(sweep(invalid, valid))[1:3]] == [True, False]
