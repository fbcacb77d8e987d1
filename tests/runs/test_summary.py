"""The row of a defence against numbers made by hand."""

import numpy as np
import pytest

from ssni_jax.evals.statistics import interval, wilson
from ssni_jax.journal.rows import summarise

KEYS = ["defense", "clean", "clean_ci", "robust", "robust_ci", "mean_t", "nfe_per_image", "seconds_per_image"]


@pytest.fixture
def records(record):
    return [
        record(0, adversarial_draws=[3, 3, 3], clean_t=[0.01, 0.03]),
        record(1, adversarial_draws=[3, 8, 3], clean_t=[0.04, 0.04], clean_nfe=70.0, seconds=0.75),
        record(2, adversarial_draws=[8, 8, 3], clean_prediction=8, linf=0.02),
        record(3, adversarial_draws=[3, 3, 3], valid=False, undefended_prediction=3, clean_t=None, clean_norm=None),
    ]


def test_the_first_keys_are_the_agreed_row(records):
    assert list(summarise("x", records))[: len(KEYS)] == KEYS


def test_the_numbers_are_those_made_by_hand(records):
    row = summarise("ssni-n", records)
    assert row["defense"] == "ssni-n"
    assert (row["n"], row["n_invalid"], row["n_draws"]) == (4, 1, 3)
    assert row["clean"] == 0.5
    assert row["robust"] == pytest.approx((1 + 2 / 3 + 1 / 3 + 0) / 4)
    assert row["robust_worst_of_draws"] == 0.25
    assert row["robust_vote"] == 0.5
    assert row["bare_classifier"] == 0.0
    assert row["mean_t"] == pytest.approx((0.02 + 0.04 + 0.05) / 3)
    assert row["mean_t_adversarial"] == pytest.approx(0.09)
    assert row["nfe_per_image"] == pytest.approx((50 + 70 + 50 + 50) / 4)
    assert row["seconds_per_image"] == pytest.approx((0.25 * 3 + 0.75) / 4)
    assert row["linf_max"] == pytest.approx(8 / 255)


def test_counts_get_the_exact_interval_and_means_over_draws_wilson(record, records):
    row = summarise("x", records)
    assert row["clean_ci"] == list(interval(2, 4))
    assert row["robust_ci"] == pytest.approx(list(wilson(2.0, 4)))
    single = summarise("x", [record(0), record(1, adversarial_draws=[8])])
    assert single["robust_ci"] == list(interval(1, 2))


def test_without_fresh_draws_the_single_prediction_counts(record):
    row = summarise("x", [record(0, adversarial_draws=[]), record(1, adversarial_draws=[], adversarial_prediction=8)])
    assert row["robust"] == 0.5


def test_a_tied_vote_is_not_robust(record):
    assert summarise("x", [record(0, adversarial_draws=[3, 8])])["robust_vote"] == 0.0


def test_an_invalid_image_is_never_right(record):
    row = summarise("x", [record(0, valid=False, undefended_prediction=3)])
    names = ("clean", "robust", "robust_vote", "robust_worst_of_draws", "bare_classifier")
    assert [row[name] for name in names] == [0.0] * 5


def test_what_is_not_measured_is_none(record):
    unmeasured = {f"{kind}_{name}": None for kind in ("clean", "adversarial") for name in ("t", "norm")}
    row = summarise("undefended", [record(0, **unmeasured), record(1, **unmeasured | {"clean_t": []})])
    assert row["mean_t"] is None
    assert row["t_quantiles"] is None
    assert row["norm_quantiles"] is None


def test_quantiles_are_of_the_images(record):
    rows = [record(i, clean_t=[i / 100], clean_norm=float(i)) for i in range(101)]
    row = summarise("x", rows)
    assert row["t_quantiles"] == pytest.approx([0.05, 0.5, 0.95])
    assert row["norm_quantiles"] == pytest.approx([5, 50, 95])


def test_no_records_give_an_empty_row_with_the_widest_intervals():
    row = summarise("x", [])
    assert row["clean"] is None
    assert row["clean_ci"] == row["robust_ci"] == [0.0, 1.0]
    assert np.all([row[name] is None for name in ("mean_t", "nfe_per_image", "seconds_per_image", "linf_max")])
