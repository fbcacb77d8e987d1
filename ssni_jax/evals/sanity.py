"""Signs of masked gradients, after Athalye et al. 2018 (arXiv:1802.00420) and Carlini et al. 2019 (arXiv:1902.06705).

A defence masks its gradients when an attack finds little although there is much to find. Each check compares two
attacks of which one must be at least as strong, or the gradient with what it claims to be.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.special import bdtrc

from ssni_jax.attacks import L1, L2, Linf, LowerNorm, Margin, Objective, RaiseNorm, Square
from ssni_jax.dist import on_every_host
from ssni_jax.evals.probe import Mixed, Standardised
from ssni_jax.evals.sanity_gradients import (
    non_finite_gradients,
    shifted_logits,
    slopes_of_pipeline,
    slopes_of_time,
    uphill,
    zero_gradients,
)
from ssni_jax.evals.suspect import ALPHA, Attempt, Check, Suspect, Verdict, comparison, worst

CHANCE = 0.1  # what guessing would leave right, at most
ALMOST_NONE = 0.05


def checks(suspect: Suspect) -> Iterator[Check]:
    """One check after the other, in the order of the table; those that do not apply to the predictor are left out."""
    for check in CHECKS:
        row = check(suspect)
        if row is not None:
            yield row


def several_losses(suspect: Suspect) -> Check:
    """No other loss is stronger than the config's."""
    others = {name: outcome for name, outcome in suspect.by_loss.items() if name != suspect.own}
    verdict = worst([comparison(suspect.base, outcome)[0] for outcome in others.values()])
    shown = ", ".join(f"{name} {share(outcome)}" for name, outcome in suspect.by_loss.items())
    says = (
        "no other is significantly stronger"
        if verdict == "pass"
        else f"the config's is {suspect.own}: use the strongest"
    )
    return Check("several losses", verdict, f"Accuracy left by {shown}; {says}.", accuracies(suspect.by_loss))


def scaled_logits(suspect: Suspect) -> Check:
    """Logits divided by their own standard deviation do not make the attack stronger."""
    scaled = suspect.by_loss["standardised"]
    verdict, test = comparison(suspect.base, scaled)
    text = f"Logits divided by their standard deviation leave {share(scaled)}, as they are {share(suspect.base)}"
    return judged("logit scale", verdict, text, "the scale hides some of the gradient", test.p_value)


def larger_eps(suspect: Suspect) -> Check:
    """A larger radius does not raise the accuracy, and some radius lowers it."""
    eps = float(suspect.probe.threat.eps)
    outcomes = {"0": suspect.clean, f"{eps / 2:g}": suspect.run(**suspect.within(eps / 2)), f"{eps:g}": suspect.base}
    outcomes[f"{2 * eps:g}"] = last = suspect.run(**suspect.within(2 * eps))
    rows = list(outcomes.values())
    verdict = worst([comparison(more, less)[0] for less, more in itertools.pairwise(rows)])
    falls = suspect.clean.accuracy - last.accuracy > ALMOST_NONE
    verdict = worst([verdict, "pass" if falls else "warn"])
    says = "it falls as it should" if verdict == "pass" else "it should fall" if falls else "the attack has no effect"
    shown = ", ".join(f"{share(outcome)} at {name}" for name, outcome in outcomes.items())
    return Check("larger eps", verdict, f"Accuracy is {shown}: {says}.", accuracies(outcomes))


def unbounded_eps(suspect: Suspect) -> Check:
    """An attack that may change every pixel to any value leaves nothing right."""
    whole = float(suspect.probe.threat.norm(jnp.ones((1, *suspect.x.shape[1:])))[0])
    n = 2 * suspect.probe.n_steps
    changes: dict[str, Any] = {**suspect.within(whole), "step_size": 2.5 * whole / n}
    outcome = suspect.run(n, **changes)
    n_right = round(float(np.sum(outcome.scores)))
    p = float(bdtrc(n_right - 1, len(outcome.scores), CHANCE))
    verdict = "pass" if outcome.accuracy <= ALMOST_NONE else "fail" if p < ALPHA else "warn"
    says = "as it should be" if verdict == "pass" else "0 % is possible: the attack does not find it"
    text = f"With eps {whole:g}, the whole range of images, {share(outcome)} is left: {says}."
    return Check("unbounded eps", verdict, text, {"accuracy": outcome.accuracy, "p": p})


def single_step(suspect: Suspect) -> Check:
    """Many steps are at least as strong as one step across the whole radius."""
    single = suspect.run(1, step_size=float(suspect.probe.threat.eps))
    verdict, test = comparison(suspect.base, single)
    text = f"{suspect.probe.n_steps} steps leave {share(suspect.base)}, a single one {share(single)}"
    return judged("iterative and single step", verdict, text, "iterating should help", test.p_value)


def more_steps(suspect: Suspect) -> Check:
    """Twice the steps find no more."""
    n = suspect.probe.n_steps
    more = suspect.run(2 * n)
    verdict, test = comparison(suspect.base, more)
    text = f"{2 * n} steps leave {share(more)}, the {n} of the config {share(suspect.base)}"
    return judged("more steps", verdict, text, "give the attack more steps", test.p_value)


def more_draws(suspect: Suspect) -> Check:
    """Four times the draws per gradient find no more."""
    more = suspect.run(4 * suspect.probe.n_steps, every=4)
    verdict, test = comparison(suspect.base, more)
    n = suspect.objective.n_draws
    text = f"{4 * n} draws per gradient leave {share(more)}, the {n} of the config {share(suspect.base)}"
    return judged("more EOT", verdict, text, "give the objective more draws", test.p_value)


def fixed_key(suspect: Suspect) -> Check:
    """An attacker who knows the random key of the prediction leaves no more right than one who does not."""
    n = suspect.probe.n_steps + 1  # the image of the last move is evaluated too
    known = suspect.run(n, fixed_key=True)
    floor = known._replace(scores=1 - np.asarray(known.broken, np.float64))
    verdict, test = comparison(floor, suspect.base)
    text = f"With the random key known {share(floor)} is left, unknown {share(suspect.base)}"
    return judged("fixed key", verdict, text, "knowing the key should help", test.p_value)


def transfer(suspect: Suspect) -> Check | None:
    """Images made on the bare classifier are not stronger than those made on the defence."""
    bare = getattr(suspect.predict, "undefended", None)
    if bare is None:
        return None
    objective = Objective(bare(), Mixed((Standardised(),), (1.0,)))
    outcome = suspect.attack(suspect.probe, objective, suspect.probe.n_steps)
    return black_box(suspect, "black box: transfer", "Images made on the bare classifier", outcome)


def random_search(suspect: Suspect) -> Check | None:
    """Square, which sees no gradient, is not stronger."""
    if not isinstance(suspect.probe.threat, Linf | L2 | L1):
        return None
    square = Square(suspect.probe.threat, n_queries=suspect.n_queries, rescaled=True)
    objective = Objective(suspect.predict, Margin(), n_draws=suspect.objective.n_draws, fixed_keys=True)
    outcome = suspect.attack(square, objective, suspect.n_queries)
    return black_box(suspect, "black box: Square", f"{suspect.n_queries} queries of Square", outcome)


def selector(suspect: Suspect) -> Check | None:
    """Attacks through an adaptive noise level, and on the score norm it follows, are not stronger than the config's."""
    if not suspect.chooses_levels:
        return None
    scale = max(float(np.std(on_every_host(suspect.clean_trace.deviation))), 1e-6)
    losses = (*suspect.losses.values(), LowerNorm(scale), RaiseNorm(scale))
    own = [float(name == suspect.own) for name in suspect.losses]
    soft = dataclasses.replace(suspect.objective, hold=False).of(suspect.predict.soft())
    ways = {"soft t": (0.0, 0.0), "lower norm": (1.0, 0.0), "higher norm": (0.0, 1.0)}
    outcomes = {
        name: suspect.attack(suspect.probe, soft.with_loss(Mixed(losses, (*own, *norms))), suspect.probe.n_steps)
        for name, norms in ways.items()
    }
    verdict = worst([comparison(suspect.base, outcome)[0] for outcome in outcomes.values()])
    shown = ", ".join(f"{name} {share(outcome)}" for name, outcome in outcomes.items())
    says = "none is significantly stronger" if verdict == "pass" else "report the strongest"
    text = f"Attacks on t(x) leave: {shown}; the config's {share(suspect.base)}: {says}."
    return Check("attack on the selector", verdict, text, accuracies(outcomes))


CHECKS: tuple[Callable[[Suspect], Check | None], ...] = (
    slopes_of_pipeline,
    slopes_of_time,
    uphill,
    zero_gradients,
    non_finite_gradients,
    shifted_logits,
    scaled_logits,
    several_losses,
    larger_eps,
    unbounded_eps,
    single_step,
    more_steps,
    more_draws,
    fixed_key,
    transfer,
    random_search,
    selector,
)


def black_box(suspect: Suspect, name: str, what: str, outcome: Attempt) -> Check:
    """An attack without the defence's gradients against the one with them."""
    verdict, test = comparison(suspect.base, outcome)
    text = f"{what} leave {share(outcome)}, the attack with gradients {share(suspect.base)}"
    return judged(name, verdict, text, "gradients should help", test.p_value)


def judged(name: str, verdict: Verdict, text: str, complaint: str, p: float) -> Check:
    """A comparison of two attacks, with a complaint unless it passed."""
    tail = "." if verdict == "pass" else f": {complaint} (p = {p:.2g})."
    return Check(name, verdict, text + tail, {"p": p})


def share(outcome: Attempt) -> str:
    """Its accuracy in words."""
    return f"{100 * outcome.accuracy:.0f} %"


def accuracies(outcomes: dict[str, Attempt]) -> dict[str, float]:
    """The accuracy by name."""
    return {name: outcome.accuracy for name, outcome in outcomes.items()}
