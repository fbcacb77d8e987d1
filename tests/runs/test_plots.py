"""Figures are well-formed SVG in the colours of the page, with named axes."""

import xml.etree.ElementTree as ElementTree

import pytest

from ssni_jax.journal.rows import summarise
from ssni_jax.report.figures import accuracies as plots
from ssni_jax.report.figures.style import PAGE_COLOURS


def texts(svg):
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture
def records(record):
    return [record(i, clean_norm=10.0 + i, clean_t=[0.01 * i]) for i in range(9)]


def test_every_axis_names_its_quantity_and_unit(records):
    rows = [summarise("ssni-n", records), summarise("diffpure", [])]
    assert {"accuracy (% of images), with 95 % intervals", "ssni-n", "diffpure", "100.0 %"} <= set(
        texts(plots.accuracy_bars(rows))
    )
    assert {"score norm (dimensionless)", "images", "clean", "adversarial"} <= set(texts(plots.score_norms(records)))
    assert {"noise level t (share of schedule)", "images"} <= set(texts(plots.noise_levels(records)))
    curve = {"norm": [5.0, 20.0], "t": [0.0, 0.1]}
    axes = {"noise level t (share of schedule)", "score norm (dimensionless)"}
    assert axes | {"t(norm)"} <= set(texts(plots.level_curve(records, curve)))
    assert axes <= set(texts(plots.level_curve(records, None)))


def test_a_long_curve_does_not_squeeze_the_images(records):
    drawn = texts(plots.level_curve(records, {"norm": [0.0, 1e4], "t": [0.0, 0.1]}))
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


def test_equal_and_missing_values_still_draw(record):
    records = [record(0), record(1, clean_norm=None, clean_t=None, adversarial_norm=None, adversarial_t=None)]
    for draw in (plots.score_norms, plots.noise_levels, lambda r: plots.level_curve(r, None)):
        assert ElementTree.fromstring(draw(records)).tag.endswith("svg")
        assert ElementTree.fromstring(draw([])).tag.endswith("svg")
