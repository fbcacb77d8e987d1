"""The row of a defence against numbers computed by hand, and every judgement against brute force."""

from itertools import combinations

import numpy as np
import pytest

from ssni_jax.evals.statistics import interval, wilson
from ssni_jax.journal.rows import summarise
from tests.workdirs import attacked_record, clean_record

JUDGEMENTS = (
    "robust", "robust_worst", "robust_vote", "robust_majority", "robust_answer", "robust_worst_iterate", "fixed_key",
)  # fmt: skip


def records(*draws, **changes):
    return [attacked_record(id, draws=list(d), answers=list(d), **changes) for id, d in enumerate(draws)]


@pytest.fixture
def four():
    return [
        attacked_record(0, draws=[3, 3, 3], answers=[3, 3, 3], clean_t=[0.01, 0.03]),
        attacked_record(1, draws=[3, 8, 3], answers=[3, 8, 3], clean_t=[0.04, 0.04], clean_nfe=70.0, seconds=0.75),
        attacked_record(2, draws=[8, 8, 3], answers=[8, 8, 3], clean_label=8, clean_draws=[8], linf=0.02),
        attacked_record(3, draws=[-1, 3, 8], answers=[-1, 3, 8], fixed_key_label=-1, clean_t=None, clean_norm=None),
    ]


def test_the_first_keys_are_name_counts_and_clean_accuracy(four):
    assert list(summarise("x", four))[:5] == ["defense", "n", "n_draws", "clean", "clean_ci"]


def test_the_numbers_are_those_computed_by_hand(four):
    row = summarise("ssni-n", four)
    assert row["defense"] == "ssni-n"
    assert (row["n"], row["n_attacked"], row["n_draws"]) == (4, 4, 3)
    assert (row["n_invalid"], row["n_invalid_adversarial"]) == (0, 1)
    assert row["clean"] == row["clean_draw"] == 0.75
    assert row["robust"] == row["robust_answer"] == pytest.approx((1 + 2 / 3 + 1 / 3 + 1 / 3) / 4)
    assert row["robust_worst"] == 0.25
    assert row["robust_vote"] == row["robust_majority"] == 0.5
    assert row["fixed_key"] == 0.75
    assert row["bare_classifier"] == 0.0
    assert row["mean_t"] == pytest.approx((0.02 + 0.04 + 0.05) / 3)
    assert row["mean_t_adversarial"] == pytest.approx(0.09)
    assert row["nfe_per_image"] == pytest.approx((50 + 70 + 50 + 50) / 4)
    assert row["nfe_per_adversarial_image"] == 90.0
    assert row["seconds_per_image"] == pytest.approx((0.25 * 3 + 0.75) / 4)
    assert row["linf_max"] == pytest.approx(8 / 255)


@pytest.mark.parametrize("seed", range(3))
def test_resubmission_is_the_mean_over_all_subsets_of_draws(seed):
    drawn = np.random.default_rng(seed).choice([3, 3, 8, -1], (5, 6)).tolist()
    for point in summarise("x", records(*drawn))["resubmission"]:
        subsets = [[all(label == 3 for label in s) for s in combinations(labels, point["m"])] for labels in drawn]
        assert point["accuracy"] == pytest.approx(np.mean([np.mean(image) for image in subsets]))


@pytest.mark.parametrize("n", [1, 4])
def test_resubmission_begins_with_one_draw_ends_with_the_worst_and_never_rises(n):
    row = summarise("x", records(*np.random.default_rng(n).choice([3, 3, 3, 8], (9, n)).tolist()))
    curve = row["resubmission"]
    assert [point["m"] for point in curve] == list(range(1, n + 1))
    assert [curve[0][key] for key in ("accuracy", "accuracy_ci")] == [row["robust"], row["robust_ci"]]
    assert [curve[-1][key] for key in ("accuracy", "accuracy_ci")] == [row["robust_worst"], row["robust_worst_ci"]]
    assert np.all(np.diff([point["accuracy"] for point in curve]) <= 0)


def test_resubmission_reaches_as_far_as_every_image_has_draws():
    assert len(summarise("x", records([3, 3, 8], [3, 3]))["resubmission"]) == 2


@pytest.mark.parametrize(
    ("labels", "plurality", "majority"),
    [
        ([3], 1, 1), ([8], 0, 0), ([3, 8], 0, 0), ([3, 3, 8], 1, 1), ([3, 3, 8, 5], 1, 0), ([3, 8, 8, 3], 0, 0),
        ([3, 3, -1, -1, -1], 1, 0), ([-1, -1], 0, 0), ([3, 3, 3, 8], 1, 1),
    ],
)  # fmt: skip
def test_a_plurality_needs_more_than_any_other_class_and_a_majority_more_than_half(labels, plurality, majority):
    row = summarise("x", records(labels))
    assert (row["robust_vote"], row["robust_majority"]) == (plurality, majority)


def test_counts_get_the_exact_interval_and_means_over_draws_wilson(four):
    row = summarise("x", four)
    assert row["clean_ci"] == row["clean_draw_ci"] == list(interval(3, 4))
    assert row["robust_ci"] == pytest.approx(list(wilson(7 / 3, 4)))
    assert row["robust_worst_ci"] == list(interval(1, 4))
    single = summarise("x", records([3], [8]))
    assert single["robust_ci"] == single["robust_answer_ci"] == list(interval(1, 2))


def test_the_answers_of_a_vote_are_fewer_than_its_draws():
    vote = [attacked_record(id, draws=[3, 3, 8, 8], answers=[answer]) for id, answer in enumerate([3, 8])]
    row = summarise("x", vote)
    assert row["robust"] == row["robust_answer"] == 0.5
    assert row["robust_answer_ci"] == list(interval(1, 2))


def test_the_draws_of_a_vote_on_clean_images_are_averaged():
    row = summarise("x", [clean_record(0, clean_draws=[3, 3, 8, -1]), clean_record(1)])
    assert (row["clean"], row["clean_draw"]) == (1.0, 0.75)
    assert row["clean_draw_ci"] == pytest.approx(list(wilson(1.5, 2)))


def test_an_invalid_prediction_is_wrong_and_no_other_prediction_with_it():
    attacked = summarise("x", records([-1, 3], undefended_label=3))
    assert (attacked["clean"], attacked["bare_classifier"], attacked["robust"]) == (1.0, 1.0, 0.5)
    assert (attacked["n_invalid"], attacked["n_invalid_adversarial"]) == (0, 1)
    clean = summarise("x", records([3], clean_label=-1, clean_draws=[-1]))
    assert (clean["clean"], clean["clean_draw"], clean["robust"], clean["n_invalid"]) == (0.0, 0.0, 1.0, 1)


def test_draws_that_are_all_invalid_are_wrong_under_every_judgement():
    row = summarise("x", records([-1, -1, -1], fixed_key_label=-1, undefended_label=-1, iterates=[-1, -1]))
    assert [row[name] for name in (*JUDGEMENTS, "bare_classifier")] == [0.0] * 8


def test_the_worst_iterate_is_right_only_where_every_iterate_is():
    drawn = [attacked_record(id, iterates=labels) for id, labels in enumerate([[3, 3], [3, 8], [-1, 3]])]
    row = summarise("x", [*drawn, attacked_record(3)])
    assert (row["robust_worst_iterate"], row["robust_worst_iterate_ci"]) == (1 / 3, list(interval(1, 3)))
    assert (row["robust_worst_iterate_invalid"], row["robust_invalid"]) == (1, 0)


def test_without_an_attack_every_judgement_is_none_with_the_widest_interval():
    row = summarise("x", [clean_record(0), clean_record(1, clean_label=8)])
    assert row["clean"] == 0.5
    assert (row["n_attacked"], row["n_draws"], row["resubmission"]) == (0, 0, [])
    assert all(row[name] is None and row[f"{name}_ci"] == [0.0, 1.0] for name in (*JUDGEMENTS, "bare_classifier"))
    assert row["linf_max"] is row["l2_mean"] is row["mean_t_adversarial"] is None


def test_judgements_without_a_record_of_them_are_none_and_not_zero():
    """Images attacked elsewhere have no attack key, and some predictors have no classifier to bare."""
    bare = [{k: v for k, v in r.items() if k not in ("fixed_key_label", "undefended_label")} for r in records([3], [8])]
    row = summarise("x", bare)
    assert row["robust"] == 0.5
    assert row["fixed_key"] is row["bare_classifier"] is None
    mixed = summarise("x", [bare[0], attacked_record(1, fixed_key_label=3)])
    assert (mixed["fixed_key"], mixed["fixed_key_ci"]) == (1.0, list(interval(1, 1)))


def test_images_without_an_attack_yet_do_not_count_as_broken():
    row = summarise("x", [attacked_record(0), clean_record(1)])
    assert (row["n"], row["n_attacked"], row["robust"]) == (2, 1, 1.0)


def test_what_is_not_measured_is_none():
    unmeasured = {f"{kind}_{name}": None for kind in ("clean", "adversarial") for name in ("t", "norm")}
    unmeasured_records = [attacked_record(0, **unmeasured), attacked_record(1, **unmeasured | {"clean_t": [None]})]
    row = summarise("undefended", unmeasured_records)
    assert row["mean_t"] is row["t_quantiles"] is row["norm_quantiles"] is None


def test_quantiles_are_of_the_images():
    row = summarise("x", [clean_record(i, clean_t=[i / 100], clean_norm=float(i)) for i in range(101)])
    assert row["t_quantiles"] == pytest.approx([0.05, 0.5, 0.95])
    assert row["norm_quantiles"] == pytest.approx([5, 50, 95])


def test_no_records_give_an_empty_row_with_the_widest_intervals():
    row = summarise("x", [])
    assert row["clean"] is None
    assert row["clean_ci"] == row["robust_ci"] == [0.0, 1.0]
    assert np.all([row[name] is None for name in ("mean_t", "nfe_per_image", "seconds_per_image", "linf_max")])
