"""The purifiers of docs/methods.md on the digits, with and without SSNI-N, under two strong attacks of docs/attacks.md.

    ssni train configs/train_adbm_digits.py --workdir runs/adbm
    ssni train configs/train_flowpure_digits.py --workdir runs/flowpure
    ssni sweep configs/sweep_purifiers_digits.py --workdir runs/purifiers

64 images, judged under ten fresh draws each: one draw, the vote and the worst of ten. Gradients are those of a
surrogate of five steps per round. MimicDiffusion has a gradient of zero by construction: its row is a caution. ADBM and
FlowPure have networks of their own, which the first two commands train; their t(x) is by the score norm of
`digits-score`. `--only` takes single cells.
"""

from ssni_jax.attacks import CrossEntropy, DiffHammer, Linf, Margin, Objective, Pgd
from ssni_jax.data import Digits
from ssni_jax.experiments import Cell, Evaluation, Sweep, across
from ssni_jax.presets import BIAS, CLASSIFIER, SCORE, TAU, preset
from ssni_jax.purify import Defense, Surrogate
from ssni_jax.recipes import adbm, flowpure, ssni_n
from ssni_jax.zoo import Pretrained

BASES = {
    "DiffPure": "diffpure",
    "MANI-Pure": "mani-pure",
    "Ringed": "ringed",
    "LM": "lm",
    "ScoreOpt-O": "scoreopt-o",
    "ScoreOpt-N": "scoreopt-n",
    "DiffAP": "diffap",
    "DiffSmooth": "diffsmooth",
}
OVER = {"diffpure": "digits-ssni-n"}  # the other presets are called after their base
PLAIN = {name: preset(f"digits-{base}") for name, base in BASES.items()}
WITH_SSNI = {f"{name} + SSNI-N": preset(OVER.get(base, f"digits-{base}-ssni-n")) for name, base in BASES.items()}
ALONE = {"LM by steps + SSNI-N": preset("digits-lm-steps-ssni-n"), "MimicDiffusion": preset("digits-mimicdiffusion")}
TRAINED = {
    "ADBM": adbm(Pretrained("runs/adbm/digits-adbm")),
    "FlowPure": flowpure(Pretrained("runs/flowpure/digits-flowpure")),
}


def over(base):
    """SSNI-N by the score norm of the score network, not of the base's own."""
    norm = preset("digits-ssni-n").purifiers[0].deviation
    return ssni_n(base, SCORE.calibration(), tau=TAU, bias=BIAS, deviation=norm)


WITH_NETWORKS = {name: Defense(base, CLASSIFIER) for name, base in TRAINED.items()}
WITH_NETWORKS |= {f"{name} + SSNI-N": Defense(over(base), CLASSIFIER) for name, base in TRAINED.items()}
ALL = PLAIN | WITH_SSNI | WITH_NETWORKS | ALONE

EPS, N_STEPS = 0.15, 20
ALIKE = {"images": Digits("test"), "order_seed": None, "n_images": 64, "batch_size": 64, "n_draws": 10, "n_pictures": 0}


def pgd(threat):
    """PGD with two draws per gradient, t held within each of its iterations."""
    return Pgd(threat, step_size=threat.eps / 5, n_steps=N_STEPS), Objective(
        None, CrossEntropy(), 2, Surrogate(5), hold=True
    )


def diffhammer(threat):
    """DiffHammer with four draws per iteration."""
    return DiffHammer(threat, step_size=0.03, n_steps=N_STEPS), Objective(None, Margin(), 4, Surrogate(5), hold=True)


experiment = Sweep(
    "Digits: every purifier, with and without SSNI-N",
    (
        *(Cell(name, "clean", Evaluation("", predict, attack=None, **ALIKE)) for name, predict in ALL.items()),
        *across(ALL, {"pgd (t held)": pgd, "diffhammer": diffhammer}, [Linf(EPS)], **ALIKE),
    ),
)
