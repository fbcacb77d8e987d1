"""One training run: from fresh or stored weights, stopped, resumed, and what it leaves behind."""

import dataclasses
import json
import re
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from ssni_jax.convert import read_arrays
from ssni_jax.data import Digits
from ssni_jax.experiments import Training
from ssni_jax.files import lock
from ssni_jax.jobs import train as training
from ssni_jax.jobs.train import run_training
from ssni_jax.journal.status import is_complete
from ssni_jax.journal.training import load_trained
from ssni_jax.networks import ConsistencyCoefficients, EdmCoefficients
from ssni_jax.networks.network import make_network
from ssni_jax.training import Adam, ClassificationLoss, DenoisingLoss
from ssni_jax.training.consistency import Average, ConsistencyLoss


class OneConvolution(nnx.Module):
    """A linear network of the noised pixels and of the noise label."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(2, 1, (3, 3), rngs=rngs)

    def __call__(self, x, noise_label, *, dropout_keys=None):
        label = jnp.broadcast_to(noise_label[:, None, None, None], x.shape)
        return self.conv(jnp.concatenate([x, label], -1))


@dataclasses.dataclass(frozen=True)
class Tiny:
    """The shape of a `OneConvolution`."""

    def make(self, *, rngs):
        return OneConvolution(rngs)


EXPERIMENT = Training(
    name="tiny", network=Tiny(), loss=DenoisingLoss(EdmCoefficients()), images=Digits("train"), batch_size=16,
    n_steps=6, every=2, save_every=3, pictures_every=0,
)  # fmt: skip
CONSISTENCY = ConsistencyLoss(ConsistencyCoefficients(label_scale=0.25), target=Average(0.9))


def run(experiment, workdir, start=None):
    run_training(experiment, experiment.loss, start, workdir, "ssni train this")
    return read_arrays(workdir / "tiny")


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The finished run of `EXPERIMENT`, which tests copy before they change it."""
    workdir = tmp_path_factory.mktemp("straight")
    run(EXPERIMENT, workdir)
    return workdir


def same(one, other):
    assert set(one) == set(other)
    for name in one:
        np.testing.assert_array_equal(one.part(name, ()), other.part(name, ()))


def stopped_at(n, how):
    """A hook that ends the run after step n."""

    def hook(step, state, metrics):
        if step == n:
            how()

    return hook


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(EXPERIMENT.loss, id="denoising", marks=pytest.mark.slow),
        pytest.param(CONSISTENCY, id="consistency with a target"),
    ],
)
def test_a_run_that_died_ends_as_one_that_did_not(tmp_path, monkeypatch, loss):
    """Parameters, averages, target, optimiser, keys and the place in the data all go on: the end is the same bits."""
    experiment = dataclasses.replace(EXPERIMENT, loss=loss)
    straight = run(experiment, tmp_path / "straight")
    usual = training.usual_hooks

    def dies():
        raise RuntimeError("killed")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr(training, "usual_hooks", lambda *a, **k: (*usual(*a, **k), stopped_at(4, dies)))
        run(experiment, tmp_path / "died")
    assert not (tmp_path / "died" / "tiny.safetensors").exists()
    same(run(experiment, tmp_path / "died"), straight)


def test_a_signal_saves_says_how_to_resume_and_loses_no_step(straight, tmp_path, monkeypatch, capsys):
    usual = training.usual_hooks
    with monkeypatch.context() as patched, pytest.raises(SystemExit) as left:
        stop = stopped_at(4, lambda: signal.raise_signal(signal.SIGTERM))
        patched.setattr(training, "usual_hooks", lambda *a, **k: (stop, *usual(*a, **k)))
        run(EXPERIMENT, tmp_path / "left")
    assert left.value.code == 75
    assert "Saved after step 4.\nStopped; resume with: ssni train this" in capsys.readouterr().out
    assert (tmp_path / "left" / "checkpoints" / "4").is_dir()
    same(run(EXPERIMENT, tmp_path / "left"), read_arrays(straight / "tiny"))


def test_a_loss_that_is_not_finite_ends_the_run_after_its_last_good_checkpoint(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Breaks:
        coefficients: EdmCoefficients = EdmCoefficients()

        def at(self, step, n_steps, target):
            return lambda model, keys, batch: (jnp.where(step < 4, 1.0, jnp.nan) * jnp.sum(model.conv.bias[...]), {})

        def target_decay(self, step, n_steps):
            return None

        def __call__(self, model, keys, batch):
            raise NotImplementedError

    jax.tree_util.register_static(Breaks)
    with pytest.raises(ValueError, match="nan at step 6: training has diverged") as error:
        run(dataclasses.replace(EXPERIMENT, loss=Breaks()), tmp_path)
    assert "ssni train this" in str(error.value) and "\n" not in str(error.value)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir() if path.is_dir()] == ["3"]


@pytest.mark.slow
def test_a_run_begins_with_stored_weights_and_refuses_others_when_resumed(tmp_path):
    start, other = (make_network(OneConvolution(nnx.Rngs(seed))) for seed in (7, 8))
    still = dataclasses.replace(EXPERIMENT, optimizer=dataclasses.replace(EXPERIMENT.optimizer, learning_rate=1e-12))
    found = run(still, tmp_path, start)
    np.testing.assert_allclose(found.part("conv/kernel", ()), start.state["conv"]["kernel"][...], atol=1e-6)
    with pytest.raises(ValueError, match=r"made with networks\.start"):
        run(still, tmp_path, other)
    same(run(still, tmp_path, start), found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "names"), [(EXPERIMENT.loss, ("18 Heun steps",)), (CONSISTENCY, ("one step", "two steps"))]
)
def test_a_denoiser_in_training_shows_what_it_can_do(tmp_path, monkeypatch, loss, names):
    shown = {}
    original = training.Pictures.__init__

    def spied(self, draw, *rest):
        original(self, lambda state: shown.update(draw(state)) or shown, *rest)

    monkeypatch.setattr(training.Pictures, "__init__", spied)
    run(dataclasses.replace(EXPERIMENT, loss=loss, pictures_every=4), tmp_path)
    files = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert files == [f"step-00000{n}-{kind}.png" for n in (4, 6) for kind in ("denoised", "samples")]
    assert all(min(Image.open(path).size) > 200 for path in (tmp_path / "pictures").iterdir())
    assert set(shown) == {"clean", "noised", "denoised", *names}
    clean = np.asarray(shown["clean"])
    np.testing.assert_array_equal(clean[0], np.round(255 * Digits("train").images[0]))
    noise = np.abs(np.asarray(shown["noised"]).reshape(5, 8, -1).astype(int) - clean.reshape(1, 8, -1)).mean((1, 2))
    assert np.all(np.diff(noise) > 0)


def test_a_classifier_draws_nothing(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Linear:
        def make(self, *, rngs):
            return Head(rngs)

    class Head(nnx.Module):
        def __init__(self, rngs):
            self.linear = nnx.Linear(64, 10, rngs=rngs)

        def __call__(self, x, *, train=False, dropout_keys=None):
            return self.linear(x.reshape(len(x), -1))

    run(
        dataclasses.replace(EXPERIMENT, network=Linear(), loss=ClassificationLoss(), pictures_every=1, n_steps=1),
        tmp_path,
    )
    assert not (tmp_path / "pictures").exists()
    lines = (tmp_path / "checkpoints" / "metrics.jsonl").read_text().splitlines()
    assert all(re.fullmatch(r"\{.*\}", line) and json.loads(line) for line in lines)


class Told(nnx.Module):
    """A convolution that refuses to run without a class, as ADM's networks for ImageNet do."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 1, (3, 3), rngs=rngs)
        self.bias = nnx.Param(jnp.zeros(10))

    def __call__(self, x, noise_label, *, class_labels, dropout_keys=None):
        return self.conv(x) + (class_labels @ self.bias[...])[:, None, None, None]


@dataclasses.dataclass(frozen=True)
class TinyTold:
    """The shape of a `Told`."""

    def make(self, *, rngs):
        return Told(rngs)


CONDITIONAL = [
    DenoisingLoss(EdmCoefficients(), n_classes=10),
    pytest.param(ConsistencyLoss(n_classes=10), marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize("loss", CONDITIONAL)
def test_a_class_conditional_network_is_told_the_classes_in_training_and_in_its_pictures(loss, tmp_path):
    before = np.zeros(10)
    run(dataclasses.replace(EXPERIMENT, network=TinyTold(), loss=loss, pictures_every=6), tmp_path)
    after = read_arrays(tmp_path / "tiny").part("bias", ())
    assert len(list((tmp_path / "pictures").iterdir())) == 2 and not np.array_equal(before, after)


def test_more_steps_extend_a_finished_run_where_nothing_depends_on_its_length(straight, tmp_path):
    """A constant learning rate goes on as if it had been asked for at once; one that decays is another run."""
    longer = dataclasses.replace(EXPERIMENT, n_steps=9)
    shutil.copytree(straight, tmp_path / "extended")
    assert is_complete(tmp_path / "extended")
    same(run(longer, tmp_path / "extended"), run(longer, tmp_path / "at once"))
    assert load_trained(tmp_path / "extended").n_steps == 9
    decaying = dataclasses.replace(EXPERIMENT, optimizer=Adam(decay_to=0.1))
    run(decaying, tmp_path / "decaying")
    with pytest.raises(ValueError, match="was made with n_steps = 6, not 9"):
        run(dataclasses.replace(decaying, n_steps=9), tmp_path / "decaying")


def test_a_second_training_in_the_same_workdir_is_refused(tmp_path):
    """The first one holds the lock as long as it lives."""
    with lock(tmp_path / "lock", "training"), pytest.raises(OSError, match=r"is in use by process .* for training"):
        run(EXPERIMENT, tmp_path)
    run(EXPERIMENT, tmp_path)
