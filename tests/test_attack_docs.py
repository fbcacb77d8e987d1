"""docs/attacks.md says what is so: its Python runs, and the attack it writes is one."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import (
    Apgd,
    Attack,
    Fab,
    Linf,
    Margin,
    Objective,
    Pgd,
    Spsa,
    Square,
    Targeted,
    TargetedMargin,
    autoattack,
)
from ssni_jax.commands.config import overridden, read_experiment
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import normal_like
from ssni_jax.data import Digits
from ssni_jax.dist import make_mesh
from ssni_jax.evals.attacked import make_driver
from ssni_jax.experiments import Evaluation
from ssni_jax.purify import predictor
from ssni_jax.purify.predictors import Predictor
from tests.kit import images, keys

PAGE = (Path(__file__).parent.parent / "docs" / "attacks.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
B, SHAPE, EPS = 8, (4, 4, 1), 0.1
X, Y = 0.2 + 0.6 * images(B, shape=SHAPE), jnp.arange(B) % 3
WEIGHTS = jnp.asarray(np.random.default_rng(0).normal(size=(16, 3)), jnp.float32)


@pytree
class Linear:
    """Logits linear in the image."""

    weights: jax.Array

    def __call__(self, x):
        return (x - 0.5).reshape(len(x), -1) @ self.weights


@pytest.fixture(scope="module")
def names():
    """What the blocks of the page define, run one after the other."""
    defined: dict = {"__name__": "page"}
    for block in BLOCKS:
        exec(block, defined)
    return defined


def driven(attack, objective, order=slice(None)):
    """The result of an attack driven as evaluations drive it."""
    driver = make_driver(make_mesh(), attack)
    rows = keys(B)[order], X[order], Y[order]
    state = driver.init(attack, objective, *rows)
    for i in range(0, attack.n_iterations, driver.n_chunk):
        state = driver.advance(attack, objective, rows[0], jnp.asarray(i), state, *rows[1:]).state
    return driver.result(attack, state)


OBJECTIVE = Objective(predictor(Linear(WEIGHTS)), Margin())


def test_the_attack_of_the_page_raises_the_loss_inside_the_ball_row_by_row(names):
    attack = names["Momentum"](Linf(EPS), step_size=0.03, n_steps=6)
    assert isinstance(attack, Attack)
    result, before = driven(attack, OBJECTIVE), OBJECTIVE.evaluate(keys(B), X, Y).mean()[0]
    assert np.all(np.asarray(result.loss) > np.asarray(before) + 0.5)
    assert np.max(np.abs(result.image - X)) <= EPS + 1e-6
    np.testing.assert_allclose(OBJECTIVE.evaluate(keys(B), result.image, Y).mean()[0], result.loss, atol=1e-5)
    order = np.arange(B)[::-1]
    np.testing.assert_allclose(driven(attack, OBJECTIVE, order).image, np.asarray(result.image)[order], atol=1e-6)


def test_a_config_file_may_define_it(tmp_path, names):
    config = tmp_path / "momentum.py"
    config.write_text("\n".join([*BLOCKS, f"experiment = {BLOCKS[-1].strip().splitlines()[-1]}"]))
    experiment = read_experiment(config, Evaluation)
    changed = overridden(experiment, ["--attack.threat.eps", "0.2", "--attack.n-steps", "3"], "ssni evaluate")
    assert (type(changed.attack).__name__, changed.attack.threat.eps, changed.attack.n_steps) == ("Momentum", 0.2, 3)


def test_flags_reach_inside_an_ensemble():
    given = Evaluation("toy", predictor(Linear(WEIGHTS)), Digits("test"), autoattack(Linf(), "rand"))
    flags = ["--attack.falls-at", "0.2", "--attack.attacks.1.attack.threat.eps", "0.3"]
    changed = overridden(given, flags, "ssni evaluate").attack
    assert (changed.falls_at, changed.attacks[0].attack.threat.eps) == (0.2, 8 / 255)
    assert changed.attacks[1].attack.threat.eps == 0.3


@pytest.mark.parametrize(
    ("attack", "n_gradients", "n_forward"),
    [
        (Pgd(n_steps=4), 4, 0),
        (Apgd(n_steps=4, n_restarts=2), 2 * 5, 0),
        (Square(n_queries=4), 0, 4),
        pytest.param(Fab(n_steps=4), 4, 4, marks=pytest.mark.slow),
        pytest.param(Spsa(n_steps=4, n_directions=5), 0, 4 * (1 + 2 * 5), marks=pytest.mark.slow),
        pytest.param(Targeted(Pgd(n_steps=4), loss=TargetedMargin()), 4, 1, marks=pytest.mark.slow),
    ],
    ids=["pgd", "apgd", "square", "fab", "spsa", "targeted"],
)
def test_the_table_of_costs_counts_what_is_evaluated(attack, n_gradients, n_forward):
    count, n_draws = Count(), 2
    jax.block_until_ready(in_one_scan(attack, Objective(Counted(count), Margin(), n_draws)).image)
    jax.effects_barrier()
    gradients, forward = count.gradients, count.calls - count.gradients
    assert (gradients, forward) == (n_draws * n_gradients, n_draws * n_forward)


class Count:
    """How often a classifier was called, and how often differentiated."""

    def __init__(self):
        self.calls = self.gradients = 0

    def called(self, _):
        self.calls += 1

    def differentiated(self, _):
        self.gradients += 1


@pytree
class Counted(Predictor):
    """A linear classifier of noisy images that counts its draws on the host."""

    count: Count = static()

    def trace(self, keys, x, save=None):
        return predictor(self.classifier()).trace(keys, x + 1e-3 * normal_like(keys, x))

    def classifier(self):
        def forward(x):
            jax.debug.callback(self.count.called, x[0, 0, 0, 0])
            return Linear(WEIGHTS)(x)

        def backward(x, cotangent):
            jax.debug.callback(self.count.differentiated, x[0, 0, 0, 0])
            return ((cotangent @ WEIGHTS.T).reshape(len(cotangent), *SHAPE),)

        classify = jax.custom_vjp(forward)
        classify.defvjp(lambda x: (forward(x), x), backward)
        return lambda x: classify(x)


@jax.jit
def in_one_scan(attack, objective):
    """The result of all iterations."""

    def iterate(state, i):
        return attack.update(keys(B), i, objective, state, X, Y), None

    state, _ = jax.lax.scan(iterate, attack.init(keys(B), objective, X, Y), jnp.arange(attack.n_iterations))
    return attack.result(state)
