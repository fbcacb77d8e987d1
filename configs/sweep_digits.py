"""Every attack of docs/attacks.md on the defences of `ssni demo`: about an hour on two cores.

Gradients are those of a surrogate of 5 steps per round, except for BPDA, for attacks without gradients, and for the last
cells: an exact gradient costs 300 network calls per draw, so that these have few images.
"""

from dataclasses import replace

from ssni_jax.attacks import (
    L1, L2, Apgd, ApgdL1, CrossEntropy, Deviated, DiffHammer, Dlr, Ensemble, Fab, Filtered, Gaussian, Linf, Margin,
    Objective, Pgd, Spsa, Square, StAdv, Targeted, WithLoss, autoattack,
)  # fmt: skip
from ssni_jax.data import Corrupted, Digits
from ssni_jax.experiments import Cell, Evaluation, Sweep, across
from ssni_jax.networks.distances import SquaredDifference
from ssni_jax.presets import TAU, preset
from ssni_jax.purify import BpdaIdentity, Exact, Surrogate
from ssni_jax.recipes.selector_attacks import selector_attacks

UNDEFENDED = {"Undefended": preset("digits-undefended")}
DIFFPURE, CONSISTENCY = {"DiffPure": preset("digits-diffpure")}, {"Consistency": preset("digits-consistency")}
SSNI = {"SSNI-L": preset("digits-ssni-l"), "SSNI-N": preset("digits-ssni-n")}
RANDOM = DIFFPURE | SSNI | CONSISTENCY
ALL = UNDEFENDED | RANDOM

IMAGES, EPS, EOT, FRESH = Digits("test"), 0.15, 4, 6
ALIKE = {"order_seed": None, "n_draws": FRESH, "n_pictures": 0}
MANY, SOME, FEW = ({"n_images": n, "batch_size": n, **ALIKE} for n in (200, 64, 4))


def using(make, loss=CrossEntropy(), n_draws=EOT, differentiate=Surrogate(5), hold=True, **options):
    """`make(threat, **options)` on an objective with this loss, draws per gradient, and gradient, for any threat."""
    return lambda threat: (make(threat, **options), Objective(None, loss, n_draws, differentiate, hold))


def pgd(threat):
    return Pgd(threat, step_size=threat.eps / 5, n_steps=20)


def targeted(threat):
    return Targeted(Apgd(threat, n_steps=50))


def rand(threat, eot=20):
    """AutoAttack for randomized defences, with `eot` draws per gradient."""
    losses = {"apgd-ce": CrossEntropy(), "apgd-dlr": Dlr()}
    return Ensemble(tuple(WithLoss(Apgd(threat), loss, eot) for loss in losses.values()), tuple(losses))


def selector(name):
    """An attack on t(x), its gradient through the surrogate."""

    def make(threat):
        named = selector_attacks(threat, n_steps=20, step_size=threat.eps / 5, n_draws=EOT, scale=TAU)
        attack, objective = named[name]
        return attack, replace(objective, differentiate=Surrogate(5, objective.differentiate or Exact()))

    return make


ANY_NORM = {"apgd-ce": using(Apgd, n_steps=50)}
LINF = {
    "pgd (t held)": using(pgd),
    "apgd-margin": using(Apgd, Margin(), n_steps=50),
    "apgd-dlr": using(Apgd, Dlr(), n_steps=50),
    "apgd-t": using(targeted),
    "fab": using(Fab, Margin(), n_steps=50),
    "diffhammer": using(DiffHammer, Margin(), n_draws=10, step_size=0.015, n_steps=50),
    "bpda": using(pgd, differentiate=BpdaIdentity()),
    "square": using(Square, Margin(), n_draws=1, differentiate=None, n_queries=200, rescaled=True),
    "spsa": using(Spsa, Margin(), n_draws=1, differentiate=None, step_size=0.03, n_steps=10, n_directions=16),
    "nes": using(
        Spsa, Margin(), 1, None, step_size=0.03, n_steps=10, n_directions=16, directions=Gaussian()
    ),
}
DEVIATED = {"diffattack": using(Apgd, Deviated(CrossEntropy(), weight=1.0), n_steps=50)}
ON_T = {name: selector(name) for name in selector_attacks() if name != "t held"}
SHAPES = {"stadv": (StAdv(0.1, n_steps=50), "flow", 0.1), "filtered": (Filtered(SquaredDifference(), 0.06, n_steps=50), "MSE", 0.06)}
FOG = Corrupted(IMAGES, "fog", severity=3)


def shapes(defense, predict):
    """Attacks that no norm of the change bounds."""
    objective = Objective(None, Margin(), EOT, Surrogate(5), hold=True)
    return [Cell(defense, name, Evaluation("", predict, IMAGES, attack, objective, **SOME), norm, bound) for name, (attack, norm, bound) in SHAPES.items()]


def unattacked(defense, predict):
    sources = {"clean": IMAGES, "fog (severity 3)": FOG}
    return [Cell(defense, name, Evaluation("", predict, source, None, **MANY)) for name, source in sources.items()]


def transferred(defense, predict):
    evaluation = Evaluation("", predict, IMAGES, None, **MANY)
    return Cell(defense, "transfer", evaluation, "Linf", EPS, images_of=f"Undefended, apgd-ce, Linf {EPS:g}")


def standard(threat):
    return autoattack(threat), Objective()


experiment = Sweep(
    "digits",
    (
        *(cell for item in ALL.items() for cell in unattacked(*item)),
        *across(ALL, ANY_NORM, [Linf(0.05), Linf(0.1), Linf(EPS)], images=IMAGES, **MANY),
        *(transferred(*item) for item in RANDOM.items()),
        *across(UNDEFENDED, {"autoattack": standard}, [Linf(EPS), L2(1.0), L1(4.0)], images=IMAGES, **MANY),
        *across(ALL, LINF, [Linf(EPS)], images=IMAGES, **SOME),
        *across(DIFFPURE | SSNI, DEVIATED, [Linf(EPS)], images=IMAGES, **SOME),
        *across(SSNI, ON_T, [Linf(EPS)], images=IMAGES, **SOME),
        *across(ALL, ANY_NORM, [L2(1.0)], images=IMAGES, **SOME),
        *across(ALL, {"apgd-ce": using(ApgdL1, n_steps=50)}, [L1(4.0)], images=IMAGES, **SOME),
        *(cell for item in ALL.items() for cell in shapes(*item)),
        *across(RANDOM, {"rand": using(rand, n_draws=20)}, [Linf(EPS)], images=IMAGES, **SOME),
        *across(RANDOM, {"rand exact": using(rand, n_draws=10, differentiate=None, eot=10)}, [Linf(EPS)], images=IMAGES, **FEW),
    ),
)
