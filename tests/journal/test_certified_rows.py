"""Certified accuracy obeys its laws, and its rows are those computed by hand."""

import numpy as np
import pytest

from ssni_jax.evals.statistics import interval
from ssni_jax.journal.certified_rows import (
    at_sigma,
    average_radius,
    certified_accuracy,
    reach,
    reachable_radii,
    summarise_certified,
)
from ssni_jax.report.figures.radii import by_sigma, envelope
from tests.workdirs import SIGMAS, certified_record, certified_records

RADII = np.linspace(0, 4, 2001)


@pytest.fixture
def records():
    return certified_records()


def test_certified_accuracy_never_increases_with_the_radius(records):
    for level in by_sigma(records).values():
        accuracy = certified_accuracy(level, RADII)
        assert np.all(np.diff(accuracy) <= 0)
        assert accuracy[0] > accuracy[-1] == 0


def test_the_envelope_is_at_least_every_curve_and_one_of_them_everywhere(records):
    curves = [certified_accuracy(level, RADII) for level in by_sigma(records).values()]
    best = envelope(records, RADII)
    assert all(np.all(best >= curve) for curve in curves)
    assert np.all(np.any([best == curve for curve in curves], axis=0))
    assert len({int(np.argmax(np.array(curves)[:, at])) for at in range(0, 800)}) > 1


def test_the_envelope_of_the_row_names_the_sigma_that_gave_each_entry(records):
    row = summarise_certified("x", records)
    for at, best in enumerate(row["envelope"]):
        own = next(level for level in row["sigmas"] if level["sigma"] == best["sigma"])
        assert best["accuracy"] == own["accuracy"][at] == max(level["accuracy"][at] for level in row["sigmas"])
        assert best["ci"] == own["accuracy_ci"][at]


def test_the_average_radius_is_the_area_under_certified_accuracy(records):
    for level in by_sigma(records).values():
        edges = np.unique([0.0, *(record["radius"] for record in level)])
        area = np.sum(np.diff(edges) * certified_accuracy(level, edges[1:]))
        assert average_radius(level) == pytest.approx(area, abs=1e-12)


def test_a_radius_counts_up_to_itself():
    assert certified_accuracy([certified_record(radius=0.5)], [0.4999, 0.5, 0.5001]).tolist() == [1, 1, 0]


@pytest.mark.parametrize("changes", [{"prediction": 2}, {"prediction": -1, "radius": 0.0}, {"n_invalid": 1}])
def test_a_wrong_abstaining_or_nan_image_is_certified_at_no_radius_and_still_counts(changes):
    records = [certified_record(0), certified_record(1, **changes)]
    assert certified_accuracy(records, [0.0, 0.4]).tolist() == [0.5, 0.5]
    assert average_radius(records) == pytest.approx(0.2)


def test_the_numbers_are_those_computed_by_hand():
    records = [
        certified_record(0, radius=0.6, seconds=0.001, transport=None),
        certified_record(1, radius=0.2, seconds=0.003, transport=3.0),
        certified_record(2, prediction=-1, radius=0.0),
        certified_record(3, prediction=-1, radius=0.0, n_invalid=7),
    ]
    (row,) = summarise_certified("x", records, [0.0, 0.5])["sigmas"]
    assert (row["sigma"], row["n"], row["n_invalid"], row["n_draws"]) == (0.5, 4, 1, 1000)
    assert row["accuracy"] == [0.5, 0.25]
    assert row["accuracy_ci"] == [list(interval(2, 4)), list(interval(1, 4))]
    assert row["acr"] == pytest.approx(0.2)
    assert row["abstention"] == 0.5
    assert row["seconds"] == pytest.approx((0.001 + 0.003 + 0.004 + 0.004) / 4)
    assert row["transport"] == pytest.approx((3 + 4 + 4) / 3)
    half = 1.959964 * np.std([0.6, 0.2, 0, 0], ddof=1) / 2
    assert row["acr_ci"] == pytest.approx([max(0, 0.2 - half), 0.2 + half])


def test_radii_go_as_far_as_a_unanimous_vote_of_the_largest_sigma():
    record = certified_record(sigma=1.0, n_estimation=10_000)
    assert reach([record, certified_record(sigma=0.25)], 0.001) == pytest.approx(3.199, abs=1e-3)
    assert reachable_radii(3.199) == [0, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3]
    assert reachable_radii(0.8) == [0, 0.25, 0.5, 0.75]
    assert reachable_radii(1.0) == [0, 0.25, 0.5, 0.75, 1]


def test_what_is_not_measured_is_none_and_nothing_at_all_is_an_empty_method():
    (row,) = summarise_certified("x", [certified_record(psnr=None, ssim=float("nan"))])["sigmas"]
    assert row["psnr"] is row["ssim"] is row["acr_ci"] is None
    nothing = summarise_certified("x", [])
    assert nothing["sigmas"] == nothing["envelope"] == []


def test_a_table_of_one_sigma_ends_where_nothing_is_certified_any_more(records):
    method = summarise_certified("x", records)
    reached = [at_sigma([method], sigma)[0] for sigma in SIGMAS]
    assert reached == sorted(reached)
    assert reached[0] < reached[-1] == len([entry for entry in method["envelope"] if entry["accuracy"]])
