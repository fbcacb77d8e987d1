"""Figures of certifications are well-formed, name what they show, and keep the names of methods apart."""

import xml.etree.ElementTree as ElementTree
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from ssni_jax.journal.certified_rows import summarise_certified
from ssni_jax.journal.formats import L2, SIGMA
from ssni_jax.report.figures import radii as plots
from ssni_jax.report.figures.labels import freeze, label
from ssni_jax.report.figures.pareto import panels, pareto_svg, write_pareto
from ssni_jax.report.figures.style import PAGE_COLOURS, new_panel
from tests.workdirs import certified_record, certified_records

NAMES = ["plain", "one-step <DDPM>", "costs $5$ & more"]
RADII = [0.0, 0.25, 0.5]


def texts(svg):
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(scope="module")
def methods():
    return [
        summarise_certified(name, certified_records(i, seconds=0.002 * (i + 1)), RADII) for i, name in enumerate(NAMES)
    ]


def test_curves_and_histograms_name_their_axes_and_every_sigma():
    records = certified_records()
    curves, histogram = plots.accuracy_over_radius(records, 3.0), plots.radius_histogram(records, 3.0)
    sigmas = {f"{SIGMA} = {sigma}" for sigma in ("0.25", "0.5", "1")}
    assert {"certified accuracy (% of images)", f"{L2} radius", f"best {SIGMA}"} | sigmas <= set(texts(curves))
    assert {"images", f"{L2} radius of right images"} | sigmas <= set(texts(histogram))
    both = plots.envelopes({name: records for name in NAMES}, 3.0)
    assert set(NAMES) <= set(texts(both))
    assert not any(colour in curves + histogram + both for colour in PAGE_COLOURS)


def test_a_method_that_certifies_nothing_still_draws():
    records = [certified_record(0, prediction=-1, radius=0.0)]
    for draw in (plots.accuracy_over_radius, plots.radius_histogram):
        assert ElementTree.fromstring(draw(records, 0.5)).tag.endswith("svg")


def test_every_panel_of_the_pareto_plot_names_all_methods_its_radius_and_its_sigma(methods):
    shown = panels(methods, 0.5, "LPIPS")
    drawn = [texts(pareto_svg(panel, NAMES)) for panel in shown]
    assert all(set(NAMES) <= set(names) for names in drawn)
    assert f"certified accuracy at {L2} radius 0.5 (%), best {SIGMA}" in drawn[0]
    assert f"average certified radius, best {SIGMA}" in drawn[1]
    assert any(text.startswith(f"LPIPS, {SIGMA} = ") for text in drawn[3])


@pytest.mark.slow
def test_the_picture_for_a_paper_is_a_png_on_white(methods, tmp_path):
    write_pareto(tmp_path / "pareto.png", panels(methods, 0.5), NAMES)
    with Image.open(tmp_path / "pareto.png") as picture:
        assert picture.format == "PNG"
        assert picture.width >= 1800
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("seed", range(3))
def test_names_cover_neither_each_other_nor_a_mark(seed):
    figure, axes = new_panel(4.6, 3.5)
    FigureCanvasAgg(figure)
    points = np.random.default_rng(seed).normal(0, [1, 0.3], (8, 2))
    axes.scatter(*points.T)
    axes.margins(0.3)
    freeze(figure)
    label(axes, [(x, y) for x, y in points], [f"method number {i}" for i in range(8)], [])
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 8
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert not any(box.contains(*mark) for box in boxes for mark in axes.transData.transform(points))
