"""Every attack of docs/attacks.md on the defences of `ssni demo`, sized for 90 minutes on two cores.

The bare classifier and the purifier of one call get every attack, the others the usual ones, and SSNI-N those on t(x)
too. Gradients are those of a surrogate of 5 steps per round, except for BPDA and the exact steps of "rand": an exact
gradient costs 300 network calls per draw.
"""

from dataclasses import replace

from ssni_jax.attacks import (
    L1,
    L2,
    Apgd,
    ApgdL1,
    CrossEntropy,
    Deviated,
    DiffHammer,
    Dlr,
    Ensemble,
    Fab,
    Filtered,
    Gaussian,
    Linf,
    Margin,
    Objective,
    Pgd,
    Spsa,
    Square,
    StAdv,
    Targeted,
    WithLoss,
    autoattack,
)  # fmt: skip
from ssni_jax.data import Corrupted, Digits
from ssni_jax.experiments import Cell, Evaluation, Sweep, across
from ssni_jax.networks.distances import SquaredDifference
from ssni_jax.presets import TAU, preset
from ssni_jax.purify import BpdaIdentity, Exact, Surrogate
from ssni_jax.recipes.selector_attacks import selector_attacks

BARE, SSNI_N = {"Undefended": preset("digits-undefended")}, {"SSNI-N": preset("digits-ssni-n")}
CONSISTENCY = {"Consistency": preset("digits-consistency")}
FULL = BARE | CONSISTENCY
RANDOM = {"DiffPure": preset("digits-diffpure"), "SSNI-L": preset("digits-ssni-l")} | CONSISTENCY | SSNI_N
ALL = BARE | RANDOM

EPS, EOT, N_STEPS = 0.15, 2, 20
ALIKE = {"images": Digits("test"), "order_seed": None, "n_draws": 4, "n_pictures": 0}
MANY, SOME, FEW = ({**ALIKE, "n_images": n, "batch_size": min(n, 64)} for n in (200, 64, 4))


def using(make, loss=CrossEntropy(), n_draws=EOT, differentiate=Surrogate(5), hold=True, **options):
    """`make(threat, **options)` on an objective with this loss, draws per gradient, and gradient, for any threat."""
    return lambda threat: (make(threat, **options), Objective(None, loss, n_draws, differentiate, hold))


def pgd(threat):
    return Pgd(threat, step_size=threat.eps / 5, n_steps=N_STEPS)


def apgd(threat):
    return Apgd(threat, n_steps=N_STEPS)


def rand(threat, eot):
    """AutoAttack for randomized defences with `eot` draws per gradient, in 10 steps instead of 100."""
    losses = {"apgd-ce": CrossEntropy(), "apgd-dlr": Dlr()}
    return Ensemble(tuple(WithLoss(Apgd(threat, n_steps=10), loss, eot) for loss in losses.values()), tuple(losses))


def selector(name):
    """An attack on t(x), its gradient through the surrogate."""

    def make(threat):
        named = selector_attacks(threat, n_steps=N_STEPS, step_size=threat.eps / 5, n_draws=EOT, scale=TAU)
        attack, objective = named[name]
        return attack, replace(objective, differentiate=Surrogate(5, objective.differentiate or Exact()))

    return make


def black_box(loss_only, **options):
    """Without a gradient: one draw per query, of the surrogate as well, because 100 steps per query are dear."""
    return using(loss_only, Margin(), n_draws=1, **options)


USUAL = {"apgd-ce": using(apgd)}
HELD = {"pgd (t held)": using(pgd)}
EVERY = {
    "apgd-margin": using(apgd, Margin()),
    "apgd-dlr": using(apgd, Dlr()),
    "apgd-t": using(lambda threat: Targeted(apgd(threat))),
    "fab": using(Fab, Margin(), n_steps=N_STEPS),
    "spsa": black_box(Spsa, step_size=0.03, n_steps=10, n_directions=8),
    "nes": black_box(Spsa, step_size=0.03, n_steps=10, n_directions=8, directions=Gaussian()),
}
CENTRAL = {
    "diffhammer": using(DiffHammer, Margin(), n_draws=4, step_size=0.03, n_steps=N_STEPS),
    "bpda": using(pgd, n_draws=1, differentiate=BpdaIdentity()),
    "square": black_box(Square, n_queries=200, rescaled=True),
}
DEVIATED = {"diffattack": using(apgd, Deviated(CrossEntropy(), weight=1.0))}
ON_T = {name: selector(name) for name in selector_attacks() if name != "t held"}
RAND = {"rand, 10 steps": using(rand, n_draws=4, eot=4)}
EXACT = {"rand, 10 exact steps": using(rand, n_draws=10, differentiate=None, eot=10)}
AUTOATTACK = {"autoattack": lambda threat: (autoattack(threat), Objective())}


def shapes(defense, predict):
    """Attacks that bound something else than a norm of the change."""
    objective = Objective(None, Margin(), EOT, Surrogate(5), hold=True)
    flow = Evaluation("", predict, attack=StAdv(0.1, n_steps=N_STEPS), objective=objective, **SOME)
    filtered = replace(flow, attack=Filtered(SquaredDifference(), 0.06, n_steps=30, modifier_rate=0.05))
    return Cell(defense, "stadv", flow, "flow", 0.1), Cell(defense, "filtered", filtered, "MSE", 0.06)


def without_attack(defense, predict):
    clean = Evaluation("", predict, attack=None, **MANY)
    fog = replace(clean, images=Corrupted(ALIKE["images"], "fog", severity=3))
    return Cell(defense, "clean", clean), Cell(defense, "fog (severity 3)", fog)


def transfer(defense, predict):
    source = f"Undefended, apgd-ce, Linf {EPS:g}"
    return Cell(defense, "transfer", Evaluation("", predict, attack=None, **SOME), "Linf", EPS, images_of=source)


LINF = [Linf(EPS)]
experiment = Sweep(
    "Digits: every attack",
    (
        *(cell for item in ALL.items() for cell in without_attack(*item)),
        *across(ALL, USUAL, [Linf(0.05), Linf(0.1), *LINF], **SOME),
        *(transfer(*item) for item in RANDOM.items()),
        *across(RANDOM, RAND, LINF, **SOME),
        *across(RANDOM, EXACT, LINF, **FEW),
        *across(ALL, HELD, LINF, group="on t(x)", **SOME),
        *across(SSNI_N, ON_T, LINF, group="on t(x)", **SOME),
        *across(BARE, AUTOATTACK, [*LINF, L2(1.0), L1(4.0)], **MANY),
        *across(FULL, EVERY, LINF, **SOME),
        *across(FULL | SSNI_N, CENTRAL, LINF, **SOME),
        *across(SSNI_N, DEVIATED, LINF, **SOME),
        *across(FULL | SSNI_N, USUAL, [L2(1.0)], **SOME),
        *across(FULL, {"apgd-ce": using(ApgdL1, n_steps=N_STEPS)}, [L1(4.0)], **SOME),
        *(cell for item in FULL.items() for cell in shapes(*item)),
    ),
)
