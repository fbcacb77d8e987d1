"""A workdir belongs to one experiment for ever."""

import dataclasses
import json
from typing import ClassVar

import pytest

from ssni_jax.attacks import Linf
from ssni_jax.files.atomic import read_json, write_json
from ssni_jax.journal.identity import FORMAT, digest_of, first_difference, identity_of
from ssni_jax.journal.units import Journal
from ssni_jax.journal.workdir import kind_of, open_workdir, read_run, workdirs, write_run
from tests.workdirs import calibrated_workdir, certified_workdir, identity, trained_workdir

FIELDS = {"attack": {"eps": 0.1, "steps": 20}, "rounds": [{"t": 0.1}, {"t": 0.2}]}
EXPERIMENT = identity(**FIELDS)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """An experiment with one field of each sort."""

    GROWS: ClassVar = ("n_images",)
    SPEED: ClassVar = ("batch_size",)
    threat: Linf = Linf(0.1)
    n_images: int = 10
    batch_size: int = 64
    seed: int = 0


class Source:
    def __init__(self, fingerprint):
        self.fingerprint = fingerprint


def identified(experiment, images="d9e0", adversarial=None):
    sources = {"images": Source(images), "adversarial": adversarial and Source(adversarial)}
    return identity_of(experiment, {"predict": None}, sources)


def test_the_same_experiment_opens_again_and_nothing_is_written(tmp_path):
    path = tmp_path / "a" / "b"
    open_workdir(path, EXPERIMENT)
    before = (path / "experiment.json").stat().st_mtime_ns
    open_workdir(path, json.loads(json.dumps(EXPERIMENT)))
    assert (path / "experiment.json").stat().st_mtime_ns == before
    assert read_json(path / "experiment.json") == EXPERIMENT


def test_another_experiment_is_refused_naming_the_first_key_and_both_values(tmp_path):
    open_workdir(tmp_path, EXPERIMENT)
    with pytest.raises(ValueError, match=r"made with attack\.eps = 0\.1, not 0\.2: pass another --workdir") as error:
        open_workdir(tmp_path, identity(**FIELDS | {"attack": {"eps": 0.2, "steps": 40}}))
    assert "steps" not in str(error.value)
    with pytest.raises(ValueError, match=r"rounds\.1\.t = 0\.2, not 0\.3"):
        open_workdir(tmp_path, identity(**FIELDS | {"rounds": [{"t": 0.1}, {"t": 0.3}]}))


def test_data_that_changed_under_the_same_path_are_refused_by_name(tmp_path):
    open_workdir(tmp_path, identified(Experiment()))
    with pytest.raises(ValueError, match=r'made with data\.images = "d9e0", not "0000"'):
        open_workdir(tmp_path, identified(Experiment(), images="0000"))
    with pytest.raises(ValueError, match=r'made with data\.adversarial = null, not "aaaa"'):
        open_workdir(tmp_path, identified(Experiment(), adversarial="aaaa"))


@pytest.mark.parametrize("change", [{"n_images": 99}, {"batch_size": 1}])
def test_what_only_adds_work_or_changes_its_speed_is_not_part_of_the_identity(change):
    assert identified(Experiment(**change)) == identified(Experiment())


@pytest.mark.parametrize("change", [{"seed": 1}, {"threat": Linf(0.2)}])
def test_what_changes_a_number_is_part_of_the_identity(change):
    changed, same = identified(Experiment(**change)), identified(Experiment())
    assert changed["hash"] != same["hash"]
    assert first_difference(same, changed)[0] in ("seed", "threat.eps")


def test_kinds_are_named_by_their_public_import_path():
    experiment = identified(Experiment())
    assert experiment["threat"]["kind"] == "ssni_jax.attacks.Linf"
    assert Linf.__module__ != "ssni_jax.attacks"
    assert experiment["format"] == FORMAT


@pytest.mark.parametrize(
    ("stored", "current", "difference"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ("a.b", 1, 2)),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, ("a", [1, 2], [1, 2, 3])),
        ({"a": {"b": 1}}, {"a": None}, ("a", {"b": 1}, None)),
    ],
)
def test_the_first_difference_is_the_innermost_entry(stored, current, difference):
    assert first_difference(stored, current) == difference


@pytest.mark.parametrize(("stored", "current"), [({"a": 1}, {}), ({}, {"a": 1}), ({"a": None}, {})])
def test_a_key_on_one_side_only_is_a_difference_even_from_null(tmp_path, stored, current):
    assert first_difference(stored, current)[0] == "a"
    open_workdir(tmp_path, identity(**stored))
    with pytest.raises(ValueError, match="nothing"):
        open_workdir(tmp_path, identity(**current))


def test_the_hash_ignores_the_order_of_keys_and_sees_every_value():
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1, "b": 2}) != digest_of({"a": 1, "b": 3})
    assert len(digest_of({})) == 12


def test_a_workdir_of_the_first_release_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "records-0.jsonl").write_text('{"id": 0}\n')
    with pytest.raises(ValueError, match=r"made by an earlier release.* pass a new --workdir"):
        open_workdir(tmp_path, EXPERIMENT)
    write_json(tmp_path / "experiment.json", {"name": "digits"})
    write_json(tmp_path / "run.json", {"ids": [0]})
    for use in (lambda: open_workdir(tmp_path, EXPERIMENT), lambda: read_run(tmp_path)):
        with pytest.raises(ValueError, match="made by an earlier release"):
            use()


def test_records_whose_experiment_was_lost_are_refused(tmp_path):
    Journal(tmp_path, "abc").write("evaluated-00000000", {"stage": "evaluated"}, [])
    with pytest.raises(ValueError, match=r"experiment\.json is missing, but records exist: restore the file"):
        open_workdir(tmp_path, EXPERIMENT)
    assert not (tmp_path / "experiment.json").exists()


def test_a_run_that_has_not_begun_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no experiment\.json: pass the --workdir of a run that has begun"):
        read_run(tmp_path)
    open_workdir(tmp_path, EXPERIMENT)
    with pytest.raises(FileNotFoundError, match=r"has no run\.json"):
        read_run(tmp_path)


def test_a_parent_gives_all_its_workdirs_and_a_workdir_itself(workdir):
    paths = [workdir(kind, n=3) for kind in ("undefended", "diffpure")]
    assert workdirs(paths[0].parent) == sorted(paths)
    assert workdirs(str(paths[0])) == [paths[0]]
    assert workdirs(paths[0] / "units") == []


def test_a_workdir_knows_its_kind_even_before_its_run_has_begun(tmp_path, workdir):
    assert kind_of(workdir("diffpure", n=1)) == "evaluation"
    assert kind_of(certified_workdir(tmp_path / "certified", "x")) == "certification"
    assert kind_of(calibrated_workdir(tmp_path / "norms", {}, 1)) == "calibration"
    assert kind_of(trained_workdir(tmp_path / "network")) == "training"  # from its experiment alone


def test_the_facts_of_a_run_come_back(tmp_path):
    open_workdir(tmp_path, EXPERIMENT)
    write_run(tmp_path, range(2), "ssni evaluate configs/x.py", kind="evaluation", seed=3)
    experiment, run = read_run(tmp_path)
    assert experiment == EXPERIMENT and len(run.pop("digest")) == 12
    assert run == {"ids": [0, 1], "command": "ssni evaluate configs/x.py", "kind": "evaluation", "seed": 3}
