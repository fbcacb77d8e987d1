"""A workdir belongs to one experiment for ever."""

import json

import pytest

from ssni_jax.journal.workdir import config_hash, first_difference, load_all, load_results, open_workdir, write_run

EXPERIMENT = {"name": "digits", "attack": {"eps": 0.1, "steps": 20}, "rounds": [{"t": 0.1}, {"t": 0.2}]}


def test_the_same_experiment_opens_again(tmp_path):
    first = open_workdir(tmp_path / "a" / "b", EXPERIMENT)
    before = (first / "experiment.json").read_bytes()
    assert open_workdir(str(first), json.loads(json.dumps(EXPERIMENT))) == first
    assert (first / "experiment.json").read_bytes() == before


def test_another_experiment_is_refused_naming_the_first_key_and_both_values(tmp_path):
    open_workdir(tmp_path, EXPERIMENT)
    changed = EXPERIMENT | {"attack": {"eps": 0.2, "steps": 40}}
    with pytest.raises(ValueError, match=r"made with attack\.eps = 0\.1, not 0\.2; pass another --workdir") as error:
        open_workdir(tmp_path, changed)
    assert "steps" not in str(error.value)
    with pytest.raises(ValueError, match=r"rounds\.1\.t = 0\.2, not 0\.3"):
        open_workdir(tmp_path, EXPERIMENT | {"rounds": [{"t": 0.1}, {"t": 0.3}]})


@pytest.mark.parametrize(
    ("there", "here", "found"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ("a.b", 1, 2)),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, ("a", [1, 2], [1, 2, 3])),
        ({"a": {"b": 1}}, {"a": None}, ("a", {"b": 1}, None)),
    ],
)
def test_the_first_difference_is_the_innermost_entry(there, here, found):
    assert first_difference(there, here) == found


@pytest.mark.parametrize(("there", "here"), [({"a": 1}, {}), ({}, {"a": 1})])
def test_a_key_on_one_side_only_is_a_difference_even_from_null(tmp_path, there, here):
    assert first_difference(there, here)[0] == "a"
    assert first_difference({"a": None}, {})[0] == "a"
    open_workdir(tmp_path, there)
    with pytest.raises(ValueError, match="nothing"):
        open_workdir(tmp_path, here)


def test_the_hash_ignores_the_order_of_keys_and_sees_every_value():
    assert config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})
    assert config_hash({"a": 1, "b": 2}) != config_hash({"a": 1, "b": 3})
    assert len(config_hash({})) == 64


def test_results_know_what_is_missing_and_whose_they_are(workdir):
    results = load_results(workdir("ssni-n", n=10, done=6))
    assert results.defense == "ssni-n"
    assert len(results.records) == 6
    assert results.missing == [6, 7, 8, 9]
    assert results.run["config_hash"] == config_hash(results.experiment)


def test_a_parent_gives_all_its_workdirs_and_a_workdir_itself(workdir):
    paths = [workdir(kind, n=3) for kind in ("undefended", "diffpure")]
    assert [each.defense for each in load_all(paths[0].parent)] == ["diffpure", "undefended"]
    assert [each.defense for each in load_all(paths[0])] == ["undefended"]


def test_equal_names_are_told_apart_by_their_directories(tmp_path):
    for seed in (0, 1):
        write_run(open_workdir(tmp_path / f"seed-{seed}", {"seed": seed}), [0], "", defense="ssni-n")
    assert [each.defense for each in load_all(tmp_path)] == ["ssni-n (seed-0)", "ssni-n (seed-1)"]


def test_a_place_without_results_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no evaluation"):
        load_all(tmp_path)
    open_workdir(tmp_path, EXPERIMENT)
    with pytest.raises(FileNotFoundError, match=r"has no run\.json"):
        load_all(tmp_path)
