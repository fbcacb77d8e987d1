"""One row for runs that differ in their seed alone: images are the unit, and seeds show their spread."""

import numpy as np
import pytest

from ssni_jax.evals.statistics import wilson
from ssni_jax.journal.evaluation import load_evaluated
from ssni_jax.journal.judgements import JUDGEMENTS
from ssni_jax.journal.rows import summarise
from ssni_jax.journal.seeds import by_seed, seed_means, summarise_seeds
from tests.workdirs import attacked_record, clean_record, evaluated_workdir


def loaded(path, draws, seed=0, name="ssni-n"):
    """A run with these draws per image; the true label is 3."""
    records = [attacked_record(id, draws=d, answers=d, fixed_key_label=d[0]) for id, d in draws.items()]
    return load_evaluated(evaluated_workdir(path, name, records, 10, seed=seed))


@pytest.fixture
def runs(tmp_path):
    drawn = ({0: [3, 3], 1: [3, 8], 2: [8, 8]}, {0: [3, 3], 1: [3, 3], 2: [8, 3], 9: [8, 8]})
    return [loaded(tmp_path / f"seed-{seed}", draws, seed) for seed, draws in enumerate(drawn)]


def test_scores_are_averaged_over_seeds_first_and_the_interval_counts_images(runs):
    """Image 9 has no record under seed 0."""
    (group,) = by_seed(runs)
    row = summarise_seeds(group)
    assert (row["defense"], row["seeds"], row["n"], row["n_attacked"]) == ("ssni-n", [0, 1], 3, 3)
    scores = np.array([[1, 0.5, 0], [1, 1, 0.5]])
    assert seed_means(JUDGEMENTS["robust"], group) == dict(enumerate(scores.mean(axis=0)))
    assert row["robust"] == pytest.approx(scores.mean()) and row["robust_seeds"] == pytest.approx([0.5, 2.5 / 3])
    assert row["robust_ci"] == pytest.approx(list(wilson(scores.mean(axis=0).sum(), 3)))
    assert (row["robust_worst"], row["robust_worst_seeds"]) == (0.5, pytest.approx([1 / 3, 2 / 3]))
    assert row["fixed_key"] == pytest.approx(4 / 6)


def test_the_submissions_of_several_seeds_begin_with_one_draw_and_end_with_the_worst(runs):
    row = summarise_seeds(by_seed(runs)[0])
    first, last = row["resubmission"]
    assert (first["accuracy"], first["accuracy_ci"]) == (row["robust"], row["robust_ci"])
    assert (last["accuracy"], last["accuracy_seeds"]) == (row["robust_worst"], row["robust_worst_seeds"])


def test_more_seeds_of_the_same_answers_make_no_interval_narrower(tmp_path):
    one, several = ([loaded(tmp_path / f"{n}-{k}", {i: [3, 8] for i in range(9)}, k) for k in range(n)] for n in (1, 4))
    rows = [summarise_seeds(by_seed(group)[0]) for group in (one, several)]
    assert rows[0]["robust_ci"] == rows[1]["robust_ci"] and rows[1]["robust_seeds"] == [0.5, 0.5]


def test_one_seed_has_the_row_of_its_run(runs):
    (group,) = by_seed(runs[:1])
    assert summarise_seeds(group) == summarise("ssni-n", runs[0].records) | {"seeds": [0]}


def test_runs_of_other_experiments_and_of_the_same_seed_are_not_joined(runs, tmp_path):
    again, other = loaded(tmp_path / "again", {0: [8]}, 1), loaded(tmp_path / "other", {0: [8]}, 2, "diffpure")
    groups = by_seed([*runs[::-1], again, other])
    assert [[run.path.name for run in group.runs] for group in groups] == [["seed-0", "seed-1"], ["again"], ["other"]]


def test_groups_of_one_name_are_told_apart_by_their_directories(tmp_path):
    runs = [
        load_evaluated(evaluated_workdir(tmp_path / f"{net}-{seed}", net, [attacked_record(0)], seed=seed, defense="x"))
        for net in ("small", "large")
        for seed in (0, 1)
    ]
    assert [group.name for group in by_seed(runs)] == ["x (small-0, small-1)", "x (large-0, large-1)"]


def test_seeds_without_an_attack_or_without_common_images_have_no_number(tmp_path):
    clean = [evaluated_workdir(tmp_path / f"{k}", "x", [clean_record(0)], seed=k) for k in range(2)]
    row = summarise_seeds(by_seed([load_evaluated(path) for path in clean])[0])
    assert (row["clean"], row["robust"], row["robust_seeds"], row["resubmission"]) == (1.0, None, None, [])
    apart = [loaded(tmp_path / f"apart-{k}", {k: [3]}, k) for k in range(2)]
    row = summarise_seeds(by_seed(apart)[0])
    assert (row["n"], row["clean"], row["clean_ci"]) == (0, None, [0.0, 1.0])
