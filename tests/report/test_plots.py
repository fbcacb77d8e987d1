"""Figures are well-formed SVG in the colours of the page, with named axes."""

import warnings
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from ssni_jax.journal.rows import summarise
from ssni_jax.report.figures import accuracies as plots
from ssni_jax.report.figures.protocol import attack_curves, mean_curve, resubmission_curves
from ssni_jax.report.figures.style import PAGE_COLOURS
from tests.workdirs import attacked_record, clean_record


def texts(svg):
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture
def records():
    return [attacked_record(i, clean_norm=10.0 + i, clean_t=[0.01 * i]) for i in range(9)]


def test_every_axis_names_its_quantity_and_unit(records):
    rows = [summarise("ssni-n", records), summarise("diffpure", [])]
    assert {"accuracy (% of images), with 95 % intervals", "ssni-n", "diffpure", "100.0 %"} <= set(
        texts(plots.accuracy_bars(rows))
    )
    assert {"score norm (dimensionless)", "images", "clean", "adversarial"} <= set(texts(plots.score_norms(records)))
    assert {"noise level t (share of schedule)", "images"} <= set(texts(plots.noise_levels(records)))
    curve = {"norm": [5.0, 20.0], "t": [0.0, 0.1]}
    axes = {"noise level t (share of schedule)", "score norm (dimensionless)"}
    assert axes | {"t(norm)"} <= set(texts(plots.level_curve(records, [curve])))
    assert axes <= set(texts(plots.level_curve(records, [])))


def test_a_long_curve_does_not_squeeze_the_images(records):
    drawn = texts(plots.level_curve(records, [{"norm": [0.0, 1e4], "t": [0.0, 0.1]}]))
    ticks = [float(text) for text in drawn if text.replace(".", "").isdigit()]
    assert 10 < max(ticks) < 30


def test_colours_come_from_the_page(records):
    svg = plots.score_norms(records)
    assert "var(--clean)" in svg
    assert "var(--adversarial)" in svg
    assert "currentColor" in svg
    assert not any(colour in svg for colour in PAGE_COLOURS)


def test_a_figure_scales_with_its_container_and_is_the_same_every_time(records):
    svg = plots.noise_levels(records)
    root = ElementTree.fromstring(svg)
    assert "viewBox" in root.attrib
    assert not {"width", "height"} & set(root.attrib)
    assert svg == plots.noise_levels(records)


def test_equal_and_missing_values_still_draw():
    records = [
        attacked_record(0),
        attacked_record(1, clean_norm=None, clean_t=None, adversarial_norm=None, adversarial_t=None),
    ]
    for draw in (plots.score_norms, plots.noise_levels, lambda r: plots.level_curve(r, [])):
        assert ElementTree.fromstring(draw(records)).tag.endswith("svg")
        assert ElementTree.fromstring(draw([])).tag.endswith("svg")


def strokes(svg):
    """The lines that a figure draws in the ink of its text: curves, but no grid, axis or mark."""
    paths = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}path")
    return [
        path.attrib["d"] for path in paths if "stroke: currentColor; stroke-linecap: square" in path.attrib["style"]
    ]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_the_level_curves_of_all_units_are_drawn_and_named_once(records, n):
    curves = [{"norm": [5.0, 20.0], "t": [0.0, 0.1 * (i + 1)]} for i in range(n)]
    svg = plots.level_curve(records, curves)
    in_legend = min(n, 1)
    assert len(strokes(svg)) == n + in_legend
    assert texts(svg).count("t(norm)") == in_legend


def test_a_figure_of_clean_images_names_no_adversarial_ones():
    records = [clean_record(i, clean_norm=10.0 + i, clean_t=[0.01 * i]) for i in range(9)]
    for svg in (plots.score_norms(records), plots.noise_levels(records), plots.level_curve(records, [])):
        assert "clean" in texts(svg)
        assert "adversarial" not in texts(svg)


def test_bars_of_defences_without_an_attack_have_no_robust_bar():
    rows = [summarise("clean only", [clean_record(0)]), summarise("attacked", [attacked_record(0, draws=[8])])]
    drawn = texts(plots.accuracy_bars(rows))
    assert drawn.count("100.0 %") == 2
    assert drawn.count("0.0 %") == 1
    assert "robust" not in texts(plots.accuracy_bars(rows[:1]))


def test_resubmission_curves_need_several_draws():
    several = summarise("votes", [attacked_record(id, draws=[3, 3, 8]) for id in range(4)])
    single, clean = summarise("single", [attacked_record(0)]), summarise("clean only", [clean_record(0)])
    drawn = texts(resubmission_curves([clean, single, several]))
    assert {"submissions m of one image", "accuracy (% of images)", "votes", "single"} <= set(drawn)
    assert "clean only" not in drawn
    assert resubmission_curves([single, clean]) is None


def test_attack_curves_name_the_defences_that_were_attacked():
    unit = {"broken": [0.0, 0.5, 0.75], "n": 8}
    drawn = texts(attack_curves({"attacked": [unit, unit], "clean only": []}))
    assert {"iteration of the attack", "wrong answers (% of draws)", "attacked", "1", "3"} <= set(drawn)
    assert "clean only" not in drawn
    assert attack_curves({"clean only": []}) is None


def test_judged_iterates_are_marks_beside_the_curve_of_the_attack():
    unit = {"broken": [0.0, 0.5, 0.75], "judged": [2, 3], "answered_wrong": [0.5, 1.0], "n": 8}
    drawn = texts(attack_curves({"attacked": [unit], "not judged": [{"broken": [0.0, 0.5], "n": 8}]}))
    assert "attacked, judged" in drawn and "not judged, judged" not in drawn


def test_the_curve_of_a_run_is_the_mean_over_its_images_and_not_over_its_units():
    units = [{"broken": [0.0, 0.5], "n": 30}, {"broken": [1.0, 0.5], "n": 10}, {"broken": [1.0], "n": 99}]
    np.testing.assert_allclose(mean_curve(units), [0.25, 0.5])
    assert len(mean_curve([])) == 0


def test_submissions_of_many_defences_and_long_legends_leave_room_for_the_curves():
    curve = [{"m": m, "accuracy": 0.9 / m, "accuracy_ci": (0.8 / m, 1 / m)} for m in (1, 2, 5)]
    rows = [{"defense": f"defence {number}", "resubmission": curve} for number in range(30)]
    drawn = texts(resubmission_curves(rows))
    assert {"m = 1", "m = 5", *(row["defense"] for row in rows)} <= set(drawn)
    assert "m = 1" not in texts(resubmission_curves(rows[:8]))
    means = {row["defense"]: [{"n": 1, "broken": [0.1, 0.2, 0.3]}] for row in rows}
    with warnings.catch_warnings(action="error"):  # a panel that its legend has squeezed to nothing
        attack_curves(means)
