"""The records of an evaluation are merged from whatever jobs wrote them, each image and each draw once."""

from pathlib import Path

import numpy as np
import pytest

from ssni_jax.core.protocols import Trace
from ssni_jax.journal.evaluation import load_evaluated, merged
from ssni_jax.journal.records import adversarial_fields, clean_fields, labels_of, measured, size_of
from ssni_jax.journal.units import StoredUnit
from tests.workdirs import attacked_record, clean_record, evaluated_workdir


def unit(*records, stage="evaluated"):
    return StoredUnit(Path(), {"stage": stage}, list(records))


def further(id, first, labels):
    return {"id": id, "first": first, "draws": labels, "answers": labels}


def test_records_of_several_units_are_merged_and_an_image_of_two_jobs_counts_once():
    first, again = attacked_record(1), attacked_record(1, clean_label=8)
    records = merged([unit(first), unit(again, attacked_record(0))])
    assert set(records) == {0, 1}
    assert records[1] == first


def test_further_draws_extend_draws_and_answers():
    units = [
        unit(attacked_record(0)),
        unit(further(0, 1, [8, 3]), stage="draws"),
        unit(further(0, 3, [5]), stage="draws"),
    ]
    record = merged(units)[0]
    assert record["draws"] == record["answers"] == [3, 8, 3, 5]
    assert record == attacked_record(0, draws=record["draws"], answers=record["answers"])


def test_the_order_of_units_does_not_matter():
    units = [
        unit(further(0, 3, [5]), stage="draws"),
        unit(further(0, 1, [8, 3]), stage="draws"),
        unit(attacked_record(0)),
    ]
    assert merged(units) == merged(units[::-1])


def test_the_same_draws_of_two_jobs_count_once():
    again = [unit(further(0, 1, [8]), stage="draws") for _ in range(2)]
    assert merged([unit(attacked_record(0)), *again])[0]["draws"] == [3, 8]


def test_draws_that_do_not_continue_the_record_are_left_out():
    """Two jobs asked for different numbers of draws: the longer list would overlap the shorter one."""
    gap, orphan = further(0, 2, [8]), further(7, 1, [8])
    records = merged([unit(attacked_record(0)), unit(gap, orphan, stage="draws")])
    assert set(records) == {0}
    assert records[0]["draws"] == [3]


def test_merging_does_not_change_the_units():
    units = [unit(attacked_record(0)), unit(further(0, 1, [8]), stage="draws")]
    merged(units)
    assert units[0].records == [attacked_record(0)]


def test_a_run_knows_what_is_missing_and_whose_it_is(workdir):
    run = load_evaluated(workdir("ssni-n", n=10, recorded=6))
    assert run.name == "ssni-n"
    assert [record["id"] for record in run.records] == [0, 1, 2, 3, 4, 5]
    assert run.missing == [6, 7, 8, 9]


def test_an_image_with_fewer_draws_than_planned_is_missing(tmp_path):
    path = evaluated_workdir(tmp_path, "x", [attacked_record(0, draws=[3, 3]), attacked_record(1)])
    assert load_evaluated(path).missing == [1]


def test_without_an_attack_nothing_is_missing_and_there_is_no_curve(tmp_path):
    run = load_evaluated(evaluated_workdir(tmp_path, "x", [clean_record(0)]))
    assert run.missing == run.curves == []


def test_an_image_that_is_no_longer_planned_is_left_out(tmp_path):
    run = load_evaluated(evaluated_workdir(tmp_path, "x", [clean_record(id) for id in range(3)], planned=2))
    assert [record["id"] for record in run.records] == [0, 1]


def test_every_unit_of_an_attack_has_a_curve_and_knows_its_images(workdir):
    curves = load_evaluated(workdir("diffpure", n=20)).curves
    assert [curve["n"] for curve in curves] == [8, 8, 4]
    assert curves[2] == {"loss": [0.1, 0.2, 0.4], "broken": [0.0, 0.25, 0.25], "n": 4}


def trace(logits, labels=None, t=((0.1,),), deviation=0.0):
    """A trace of one row on the host."""
    image, labels = np.zeros((1, 1, 1, 1)), None if labels is None else np.array([labels])
    row = np.array([logits])
    return Trace(row, row, image, image, np.array([deviation]), np.array(t), np.array([7.0]), labels)


@pytest.mark.parametrize(
    ("logits", "labels", "expected"),
    [
        ([0.0, 2.0], None, ([1], 1)),
        ([0.0, np.nan], None, ([-1], -1)),
        ([np.inf, 0.0], None, ([-1], -1)),
        ([0.1, 0.9], [1, -1, 0], ([1, -1, 0], 1)),
    ],
)
def test_a_prediction_that_is_not_finite_has_the_label_minus_one(logits, labels, expected):
    assert labels_of(trace(logits, labels), 0) == expected


def test_the_fields_of_a_record_are_those_of_its_row_and_unmeasured_ones_are_none():
    row = trace([0.0, 2.0], t=((0.1, 0.2),), deviation=3.5)
    clean = {"clean_label": 1, "clean_draws": [1], "clean_t": [0.1, 0.2], "clean_norm": 3.5, "clean_nfe": 7.0}
    assert clean_fields(row, 0) == clean
    assert adversarial_fields(row, 0) == {f"adversarial_{k}": clean[f"clean_{k}"] for k in ("t", "norm", "nfe")}
    unmeasured = clean_fields(trace([0.0, 2.0], t=((),)), 0)
    assert unmeasured["clean_t"] is unmeasured["clean_norm"] is None
    assert np.isnan(measured(np.nan))


def test_the_size_of_a_change_is_its_largest_entry_and_its_euclidean_norm():
    assert size_of(np.array([[[-0.4], [0.3]]])) == pytest.approx({"linf": 0.4, "l2": 0.5})
