"""A predictor under suspicion of masking its gradients: its attack, some images, and the programs of the checks."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from ssni_jax.attacks import Attack, CrossEntropy, Dlr, Linf, Margin, Objective, TraceLoss
from ssni_jax.attacks.threats import Threat
from ssni_jax.core.protocols import Measurable, Trace
from ssni_jax.core.rng import fold
from ssni_jax.core.types import Images, Keys, Labels
from ssni_jax.dist import on_every_host
from ssni_jax.evals.attacked import Driver, make_driver
from ssni_jax.evals.gradient_check import is_adaptive
from ssni_jax.evals.prediction import Prediction, make_predict
from ssni_jax.evals.probe import Mixed, Probe, ProbeState, Standardised
from ssni_jax.evals.statistics import Paired, Scores, paired_difference

ATTACK, FRESH, SLOPES = range(1, 4)
N_FRESH = 4  # draws under which each image is judged
ALPHA, LARGE = 0.01, 0.15  # a comparison fails at a p below the first, and warns from a difference of the second on
OWN = "the config's loss"

Verdict = Literal["pass", "warn", "fail"]
GRAVITY: tuple[Verdict, ...] = ("pass", "warn", "fail")


class Check(NamedTuple):
    """One row of the table: a verdict, what was seen in one sentence, and the numbers behind it."""

    name: str
    verdict: Verdict
    sentence: str
    numbers: dict[str, float]


class Attempt(NamedTuple):
    """One attack, per image: share of fresh draws that are right, and of the attack's last own draws that were wrong.

    `state` is the attack's own, with its gradients counted over `n_iterations`.
    """

    scores: Scores
    broken: Float[np.ndarray, " B"]
    state: ProbeState | None
    n_iterations: int

    @property
    def accuracy(self) -> float:
        return float(np.mean(self.scores))


@dataclasses.dataclass(frozen=True)
class Suspect:
    """A predictor with its networks in place, the objective and the attack it is evaluated with, and a few images.

    The rows are split over `mesh`. Outcomes that several checks need are computed once.
    """

    predict: Any
    objective: Objective
    probe: Probe
    keys: Keys
    x: Images
    y: Labels
    mesh: Mesh
    n_slots: int = 32
    n_queries: int = 50

    @cached_property
    def predicted(self) -> Prediction:
        """The compiled prediction."""
        return make_predict(self.mesh, self.n_slots)

    def answers(self, draws: Sequence[int], images: Sequence[Images]) -> Trace:
        """The prediction of each batch of images under the fresh keys of its draw, all rows in one call.

        It is compiled once, for `N_FRESH` batches.
        """
        keys = jnp.concatenate([fold(fold(self.keys, FRESH), k) for k in draws])
        return self.predicted(self.predict, keys, jnp.concatenate(images))

    @cached_property
    def driver(self) -> Driver:
        """The compiled attack, which runs any number of iterations."""
        return make_driver(self.mesh, self.probe, n_chunk=1)

    @property
    def chooses_levels(self) -> bool:
        """Whether the noise of the predictor depends on the image, and can be measured."""
        has_purifier = bool(getattr(self.predict, "purifiers", ()))
        return has_purifier and isinstance(self.predict, Measurable) and is_adaptive(self.predict)

    @cached_property
    def n_classes(self) -> int:
        return jax.eval_shape(lambda keys, x: self.predict(keys, x), self.keys, self.x).shape[1]

    @cached_property
    def losses(self) -> dict[str, TraceLoss]:
        """The usual losses by name, and the objective's own where it is another."""
        usual = {"cross-entropy": CrossEntropy(), "margin": Margin(), "standardised": Standardised()}
        usual |= {"dlr": Dlr()} if self.n_classes >= 3 else {}
        is_usual = any(type(loss) is type(self.objective.loss) for loss in usual.values())
        return usual if is_usual else {**usual, OWN: self.objective.loss}

    @cached_property
    def own(self) -> str:
        """The name of the objective's own loss."""
        return next(name for name, loss in self.losses.items() if type(loss) is type(self.objective.loss))

    def raising(self, name: str, shift: float = 0.0) -> Objective:
        """The objective on one of the losses, with a constant added to the scores."""
        weights = tuple(float(name == other) for other in self.losses)
        return self.objective.of(self.predict).with_loss(Mixed(tuple(self.losses.values()), weights, shift))

    def accuracy(self, image: Images) -> Scores:
        """The share of right answers under keys that no attack has seen, per image; NaN logits are wrong."""
        return self.share_right(self.answers(range(N_FRESH), [image] * N_FRESH))

    def share_right(self, trace: Trace) -> Scores:
        """The share of right answers of `N_FRESH` draws, per image."""
        logits, y = on_every_host(trace.logits), np.tile(on_every_host(self.y), N_FRESH)
        right = np.isfinite(logits).all(axis=1) & (logits.argmax(axis=1) == y)
        return right.reshape(N_FRESH, -1).mean(axis=0)

    def climb(self, attack: Attack, objective: Objective, n_iterations: int) -> Any:
        """The state of an attack after so many iterations."""
        keys = fold(self.keys, ATTACK)
        state = self.driver.init(attack, objective, keys, self.x, self.y)
        for i in range(n_iterations):
            state = self.driver.advance(attack, objective, keys, jnp.asarray(i), state, self.x, self.y).state
        return state

    def attack(self, attack: Attack, objective: Objective, n_iterations: int) -> Attempt:
        """The outcome of so many iterations of an attack."""
        state = self.climb(attack, objective, n_iterations)
        result = self.driver.result(attack, state)
        kept = on_every_host(state) if isinstance(state, ProbeState) else None
        return Attempt(self.accuracy(result.image), on_every_host(result.broken), kept, n_iterations)

    def run(self, n_iterations: int | None = None, loss: str | None = None, **changes: Any) -> Attempt:
        """The outcome of the config's attack with a few fields of the probe changed, on one of the losses."""
        n_iterations = self.probe.n_steps if n_iterations is None else n_iterations
        return self.attack(
            dataclasses.replace(self.probe, **changes), self.raising(self.own if loss is None else loss), n_iterations
        )

    @cached_property
    def clean_trace(self) -> Trace:
        """The answers on the clean images."""
        return self.answers(range(N_FRESH), [self.x] * N_FRESH)

    @cached_property
    def clean(self) -> Attempt:
        """No attack."""
        scores = self.share_right(self.clean_trace)
        return Attempt(scores, 1 - scores, None, 0)

    @cached_property
    def base(self) -> Attempt:
        """The attack of the config: its threat, steps, step size, draws, loss and gradient."""
        return self.run()

    @cached_property
    def by_loss(self) -> dict[str, Attempt]:
        """The same on each of the losses."""
        return {name: self.base if name == self.own else self.run(loss=name) for name in self.losses}

    def within(self, eps: float) -> dict[str, Any]:
        """The changes of the probe that give it another radius, and steps in proportion."""
        before = self.probe.threat.eps
        threat = dataclasses.replace(self.probe.threat, eps=eps)  # type: ignore[type-var]
        return {"threat": threat, "step_size": self.probe.step_size * eps / before}


def probe_of(attack: Any) -> Probe:
    """The probe with the threat, the steps and the step size of an attack; of an ensemble the first threat counts."""
    leaves = jax.tree.leaves(attack, is_leaf=lambda value: isinstance(value, Threat))
    threat = next((leaf for leaf in leaves if isinstance(leaf, Threat)), Linf())
    n_steps = int(getattr(attack, "n_steps", 20))
    step_size = getattr(attack, "step_size", None)
    return Probe(threat, 2.5 * float(threat.eps) / n_steps if step_size is None else step_size, n_steps=n_steps)


def comparison(stronger: Attempt, weaker: Attempt) -> tuple[Verdict, Paired]:
    """Whether what should be the stronger attack leaves significantly more right answers than the weaker one."""
    test = paired_difference(stronger.scores, weaker.scores)
    if test.difference > 0 and test.p_value < ALPHA:
        return "fail", test
    return ("warn" if test.difference >= LARGE else "pass"), test


def worst(verdicts: list[Verdict]) -> Verdict:
    """The gravest of several verdicts."""
    return GRAVITY[max(map(GRAVITY.index, verdicts), default=0)]
