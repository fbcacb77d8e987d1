import json
import os
import signal
import threading

import jax.numpy as jnp
import pytest

from ssni_jax.data import Digits, training_batches
from ssni_jax.lifecycle import Stopper
from ssni_jax.training import (
    Checkpoints,
    LeaveOnSignal,
    MetricsFile,
    Save,
    StopOnNan,
    TrainState,
    usual_hooks,
)

STATE = TrainState({"w": jnp.zeros(2)}, {}, {"w": jnp.zeros(2)}, (), jnp.array(0))


def metrics(loss=1.0):
    return {"loss": jnp.array(loss), "gradient_norm": jnp.array(1.0)}


def test_a_nan_loss_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        save = Save(checkpoints, every=1)
        save(1, STATE, metrics())
        for hook in (save, StopOnNan(1)):
            with pytest.raises(ValueError, match="loss is nan at step 2: training has diverged") as error:
                hook(2, STATE, metrics(float("nan")))
            assert "\n" not in str(error.value)
        checkpoints.wait()
        assert checkpoints.latest == 1


def test_an_infinite_gradient_is_never_saved(tmp_path):
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(ValueError, match="gradient_norm is inf"):
        Save(checkpoints, every=1)(1, STATE, {**metrics(), "gradient_norm": jnp.array(float("inf"))})


def test_the_last_step_is_always_saved(tmp_path):
    with Checkpoints(tmp_path) as checkpoints, Save(checkpoints, every=10, last=12) as save:
        for n in range(1, 13):
            save(n, STATE, metrics())
        checkpoints.wait()
        assert checkpoints.latest == 12


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_saves_and_leaves_with_the_code_of_the_signal(tmp_path, capsys, number, code):
    before = signal.getsignal(number)
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(SystemExit) as leaving, LeaveOnSignal(Save(checkpoints, command="ssni train x")) as leave:
            leave(6, STATE, metrics())
            os.kill(os.getpid(), number)
            leave(7, STATE, metrics())
        assert leaving.value.code == code
        assert checkpoints.latest == 7
    assert "resume with: ssni train x" in capsys.readouterr().out
    assert signal.getsignal(number) is before


def test_a_signal_before_the_first_step_ends_at_once_because_nothing_would_be_lost(tmp_path, monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(Stopper, "drop", lambda *_: ended.set())
    with Checkpoints(tmp_path) as checkpoints, LeaveOnSignal(Save(checkpoints)):
        os.kill(os.getpid(), signal.SIGINT)
        assert ended.wait(10)


def test_a_resumed_run_replaces_the_lines_it_repeats(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path, every=2)
    for n in range(1, 7):
        first(n, STATE, metrics())
    with path.open("a") as file:
        file.write('{"step": 8, "lo')  # cut short by a kill
    resumed = MetricsFile(path, every=2)
    for n in range(5, 9):
        resumed(n, STATE, metrics(2.0))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(2, 1.0), (4, 1.0), (6, 2.0), (8, 2.0)]


def test_the_usual_hooks_save_and_log(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        hooks = usual_hooks(checkpoints, training_batches(Digits(), 2), n_steps=4, every=2)
        for n in range(1, 5):
            for hook in hooks:
                hook(n, STATE, metrics())
        checkpoints.wait()
        assert checkpoints.latest == 4
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [2, 4]
