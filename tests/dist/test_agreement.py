"""Agreement, with what the other processes would say planted in place of the exchange."""

import jax
import pytest

from ssni_jax.dist import agree, agreement, check_shared, same_everywhere, service
from ssni_jax.lifecycle import PeerFailed


@pytest.fixture
def others(monkeypatch):
    """Makes this process number `here` of `n`; `said` is what the others give at each point, and True is a failure."""

    def pretend(here, n, *said):
        points = iter(said)

        def exchanged(mine):
            given = {number: "failed" if value is True else value for number, value in next(points).items()}
            return given if mine is None else {**given, here: mine}

        monkeypatch.setattr(jax, "process_count", lambda: n)
        monkeypatch.setattr(jax, "process_index", lambda: here)
        monkeypatch.setattr(agreement, "exchanged", exchanged)

    return pretend


def test_one_process_agrees_with_itself():
    assert agree(None) is None
    assert agree(None, 15) == 15
    with pytest.raises(ValueError, match="mine"):
        agree(ValueError("mine"), 15)


def test_a_stop_asked_of_one_process_is_asked_of_all(others):
    others(0, 3, {1: "2", 2: "15"}, {}, {})
    assert agree(None) == 15
    assert agree(None) is None
    assert agree(None, 2) == 2


def test_a_preemption_that_the_service_knows_of_stops_all(others, monkeypatch):
    notices = iter([False, True, True])
    monkeypatch.setattr(agreement, "is_preempted", lambda: next(notices))
    others(0, 2, {}, {1: "15"}, {1: "2"})
    assert agree(None) is None
    assert agree(None) == 15
    assert agree(None, 2) == 2


def test_the_service_is_asked_about_a_preemption_with_growing_numbers_and_may_be_off(monkeypatch):
    steps = []
    monkeypatch.setattr(service.multihost_utils, "reached_preemption_sync_point", lambda step: steps.append(step) or True)
    assert service.is_preempted() and service.is_preempted() and steps[1] == steps[0] + 1

    def off(step):
        raise RuntimeError("Preemption sync manager has not been initialized.")

    monkeypatch.setattr(service.multihost_utils, "reached_preemption_sync_point", off)
    assert not service.is_preempted()


def test_the_failing_process_says_why_and_the_others_say_nothing(others):
    others(1, 2, {})
    with pytest.raises(ValueError, match="mine"):
        agree(ValueError("mine"))
    others(0, 2, {1: True})
    with pytest.raises(PeerFailed):
        agree(None, 15)


def test_of_several_failing_processes_the_lowest_says_why(others):
    others(1, 3, {2: True})
    with pytest.raises(ValueError, match="mine"):
        agree(ValueError("mine"))
    others(2, 3, {1: True})
    with pytest.raises(PeerFailed):
        agree(ValueError("mine"))


def test_what_differs_between_processes_is_named_with_the_process(others):
    same_everywhere("config", "abc")
    others(0, 3, {1: "abc", 2: "abd"}, {1: True, 2: True})
    with pytest.raises(ValueError, match="same config, but it differs between process 0 and process 2"):
        same_everywhere("config", "abc")
    others(1, 3, {0: "abc", 2: "abd"}, {0: True, 2: True})
    with pytest.raises(PeerFailed):
        same_everywhere("config", "abc")


def test_a_workdir_that_this_process_does_not_see_is_named(others, tmp_path):
    check_shared(tmp_path / "alone")
    assert not (tmp_path / "alone").exists()
    others(1, 2, {0: "token"}, {}, {})
    with pytest.raises(ValueError, match=r"process 1 of 2 does not see the directory .*w of process 0"):
        check_shared(tmp_path / "w")


def test_the_token_of_a_shared_workdir_is_seen_and_removed(others, tmp_path):
    others(0, 2, {}, {}, {})
    check_shared(tmp_path / "w")
    assert list((tmp_path / "w").iterdir()) == []


def test_a_workdir_that_process_0_cannot_write_is_refused_everywhere(others, tmp_path):
    (tmp_path / "file").touch()
    others(0, 2, {}, {})
    with pytest.raises(OSError, match="file"):
        check_shared(tmp_path / "file" / "w")
