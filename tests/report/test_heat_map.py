"""The heat map of a sweep names every defence, attack and budget, and no name runs into the next."""

import pytest

from ssni_jax.report.figures.heat_map import heat_map

ATTACKS = (("clean", ""), ("a long name of an attack", "Linf 0.1"), ("pgd", "L2 1"))


def cells(n_defenses, suffix=" + SSNI-N"):
    for number in range(n_defenses):
        for attack, budget in ATTACKS:
            numbers = {"accuracy": 0.5, "accuracy_ci": (0.4, 0.6), "accuracy_invalid": 0, "n": 64}
            yield {"defense": f"defence {number}{suffix}", "attack": attack, "budget": budget, **numbers}


@pytest.mark.parametrize("n_defenses", [1, 6, 7, 22])
def test_every_name_is_there_and_none_overlaps_another(n_defenses):
    figure = heat_map(list(cells(n_defenses)))
    (axes,) = figure.axes
    shown = "\n".join(text.get_text() for text in axes.texts)
    names = [f"defence {number} + SSNI-N" for number in range(n_defenses)]
    assert all(name in shown for name in [*names, *(name for pair in ATTACKS for name in pair), "no attack"])
    assert shown.count("50.0") == n_defenses * len(ATTACKS)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for number, a in enumerate(boxes) for b in boxes[:number])
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


@pytest.mark.parametrize(
    ("n_defenses", "suffix"), [(10, ""), (11, ""), (6, ""), (6, " + SSNI-N by the norm of another network")]
)
def test_it_stays_as_wide_as_a_page(n_defenses, suffix):
    assert heat_map(list(cells(n_defenses, suffix))).get_figwidth() < 12
