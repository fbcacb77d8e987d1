"""Ready-made defences by name: over the networks that ship with the package, and papers' settings over any networks."""

from collections.abc import Callable
from functools import partial

from ssni_jax import recipes
from ssni_jax.core.protocols import Classifier, Denoiser
from ssni_jax.purify import (
    Annealed,
    Chain,
    ClippedEstimate,
    Defense,
    EstimateTowards,
    Fading,
    Fixed,
    LowFrequencies,
    NegativeL1,
    NegativeMse,
    Predictor,
    Purifier,
    Then,
    TowardsInput,
    Undefended,
    Unguided,
    Vote,
    predictor,
)
from ssni_jax.recipes.gns import IMAGENET, SVHN
from ssni_jax.schedules import VP, DiscreteVP
from ssni_jax.zoo import Pretrained

SCORE, CLASSIFIER = Pretrained("digits-score"), Pretrained("digits-classifier")
CONSISTENCY = Pretrained("digits-consistency-finetuned")
SHARE = 64 / 3072  # pixels of a digit, of those of a CIFAR-10 image
MEDIATOR = EstimateTowards(NegativeMse(), Fading(30000 / 16 * SHARE))
MIMIC = EstimateTowards(NegativeL1(), Fixed(2 * 3000 / 16 * SHARE * 3), detached=True)
T_STAR, BIAS, TAU = 0.1, 0.005, 20.0
GUIDE = Chain((ClippedEstimate(), TowardsInput(strength=Annealed(12.0, 0.15))))


def digits_undefended() -> Undefended:
    """The bare classifier."""
    return predictor(CLASSIFIER)


def digits_diffpure() -> Defense:
    """DiffPure by ancestral sampling at a fixed t_star."""
    return Defense(_base(), CLASSIFIER)


def digits_ssni_l() -> Defense:
    """DiffPure with SSNI-L's linear reweighting."""
    return Defense(recipes.ssni_l(_base(), SCORE.calibration(), bias=BIAS), CLASSIFIER)


def digits_ssni_n() -> Defense:
    """DiffPure with SSNI-N's sigmoid reweighting."""
    return Defense(_ssni_n(_base()), CLASSIFIER)


def digits_gdmp() -> Defense:
    """GDMP's four rounds of 36 steps; its guidance has the paper's strength a pixel, of which digits have fewer."""
    return Defense(recipes.gdmp(SCORE, guide=GUIDE), CLASSIFIER)


def digits_gns() -> Defense:
    """GNS's eight rounds, in steps of five: one run, without the paper's majority of ten."""
    return Defense(recipes.gns(SCORE, stride=5), CLASSIFIER)


def digits_one_step() -> Defense:
    """The denoiser's estimate at DiffPure's noise, in one call."""
    return Defense(recipes.one_step(SCORE, t_star=T_STAR), CLASSIFIER)


def digits_pf_ode() -> Defense:
    """EDM's Heun sampler, from the noise that smoothing with 0.17 would add."""
    return Defense(recipes.pf_ode(SCORE, sigma=0.17), CLASSIFIER)


def digits_consistency() -> Defense:
    """Consistency Purification in one call, from the noise that smoothing with 0.17 would add."""
    return Defense(recipes.consistency(CONSISTENCY, sigma=0.17), CLASSIFIER)


def digits_mani_pure() -> Defense:
    """MANI-Pure in 20 steps; of the digits' frequencies it keeps those within a radius of one."""
    purify = recipes.mani_pure(SCORE, guide=LowFrequencies(1.0, 1.0, 0.3), t_star=T_STAR, n_steps=20)
    return Defense(purify, CLASSIFIER)


def digits_ringed() -> Defense:
    """Amplified noise, churned steps and a ring around the input: ours, after the abstract of NADD."""
    return Defense(recipes.ringed(SCORE, t_star=T_STAR), CLASSIFIER)


def digits_lm() -> Defense:
    """Likelihood maximisation: five steps of Adam towards an image that the denoiser leaves as it is."""
    return Defense(recipes.likelihood_maximization(SCORE), CLASSIFIER)


def digits_lm_steps_ssni_n() -> Defense:
    """Likelihood maximisation, the number of its steps chosen by SSNI-N."""
    return Defense(_ssni_n(recipes.likelihood_maximization_by_steps(SCORE)), CLASSIFIER)


def digits_scoreopt_o() -> Defense:
    """ScoreOpt-O's twenty small steps."""
    return Defense(recipes.scoreopt_o(SCORE), CLASSIFIER)


def digits_scoreopt_n() -> Defense:
    """ScoreOpt-N's five steps on a noised image, and the denoiser's estimate."""
    return Defense(recipes.scoreopt_n(SCORE), CLASSIFIER)


def digits_diffap() -> Defense:
    """DiffAP's five steps from the top; its mediator has the paper's strength a pixel, of which digits have fewer."""
    return Defense(recipes.diffap(SCORE, guide=MEDIATOR), CLASSIFIER)


def digits_mimicdiffusion() -> Defense:
    """A caution: MimicDiffusion's hundred steps from noise alone, through which no gradient flows."""
    return Defense(recipes.mimicdiffusion(SCORE, guide=MIMIC), CLASSIFIER)


def digits_diffsmooth() -> Then:
    """DiffSmooth: the denoiser's estimate from noise 0.17, and five votes on copies of it with noise 0.08."""
    return recipes.diffsmooth(SCORE, CLASSIFIER, sigma=0.17, local=0.08, schedule=VP())


def _base() -> Purifier:
    return recipes.diffpure_ddpm(SCORE, t_star=T_STAR)


def _ssni_n(base: Purifier) -> Purifier:
    return recipes.ssni_n(base, SCORE.calibration(), tau=TAU, bias=BIAS)


def _under_ssni_n(name: str, make: Callable[[], Defense | Then], chosen: str) -> Callable[[], Predictor]:
    """A preset whose `chosen` quantity SSNI-N gives."""

    def reweighted() -> Predictor:
        return make().map_purify(_ssni_n)

    reweighted.__doc__ = f"{name}, {chosen} given by SSNI-N."
    return reweighted


UNDER_SSNI_N = {
    "digits-mani-pure": _under_ssni_n("MANI-Pure", digits_mani_pure, "its time"),
    "digits-ringed": _under_ssni_n("The ringed purifier", digits_ringed, "its time"),
    "digits-lm": _under_ssni_n("Likelihood maximisation", digits_lm, "the range of its noise"),
    "digits-scoreopt-o": _under_ssni_n("ScoreOpt-O", digits_scoreopt_o, "the range of its noise"),
    "digits-scoreopt-n": _under_ssni_n("ScoreOpt-N", digits_scoreopt_n, "its noise"),
    "digits-diffap": _under_ssni_n("DiffAP", digits_diffap, "the time at which it begins"),
    "digits-diffsmooth": _under_ssni_n("DiffSmooth", digits_diffsmooth, "its first noise"),
}
PRESETS: dict[str, Callable[[], Predictor]] = {
    "digits-undefended": digits_undefended,
    "digits-diffpure": digits_diffpure,
    "digits-ssni-l": digits_ssni_l,
    "digits-ssni-n": digits_ssni_n,
    "digits-gdmp": digits_gdmp,
    "digits-gns": digits_gns,
    "digits-one-step": digits_one_step,
    "digits-pf-ode": digits_pf_ode,
    "digits-consistency": digits_consistency,
    "digits-mani-pure": digits_mani_pure,
    "digits-ringed": digits_ringed,
    "digits-lm": digits_lm,
    "digits-lm-steps-ssni-n": digits_lm_steps_ssni_n,
    "digits-scoreopt-o": digits_scoreopt_o,
    "digits-scoreopt-n": digits_scoreopt_n,
    "digits-diffap": digits_diffap,
    "digits-mimicdiffusion": digits_mimicdiffusion,
    "digits-diffsmooth": digits_diffsmooth,
    **{f"{name}-ssni-n": make for name, make in UNDER_SSNI_N.items()},
}

SIGMAS = {0.25: 7, 0.5: 8, 1.0: 9}  # smoothing noise, and steps of the ODE below it
# Purifier of each paper's setting, and the number of purifications that vote.
SETTINGS: dict[str, tuple[Callable[[Denoiser], Purifier], int]] = {
    "cifar10-linf-diffpure": (partial(recipes.diffpure_sde, t_star=0.1, n_steps=100), 1),
    "cifar10-l2-diffpure": (partial(recipes.diffpure_sde, t_star=0.075, n_steps=75), 1),
    "cifar10-stadv-diffpure": (partial(recipes.diffpure_sde, t_star=0.125, n_steps=125), 1),
    "imagenet-linf-diffpure": (partial(recipes.diffpure_sde, t_star=0.15, n_steps=150), 1),
    "cifar10-linf-gdmp": (recipes.gdmp, 10),
    "cifar10-bpda-gdmp": (recipes.gdmp_cifar10_bpda, 10),
    "imagenet-linf-gdmp": (recipes.gdmp_imagenet, 5),
    "cifar10-gns": (recipes.gns, 10),
    "imagenet-gns": (partial(recipes.gns, rounds=IMAGENET), 10),
    "svhn-gns": (partial(recipes.gns, rounds=SVHN), 10),
    "cifar10-diffap": (recipes.diffap, 1),
    "cifar10-mimicdiffusion": (recipes.mimicdiffusion, 1),
    "cifar10-lm": (recipes.likelihood_maximization, 1),
    "cifar10-scoreopt-o": (recipes.scoreopt_o, 1),
    "cifar10-scoreopt-n": (recipes.scoreopt_n, 1),
    "cifar10-freqpure": (recipes.freqpure, 10),
    "imagenet-freqpure": (recipes.freqpure_imagenet, 10),
    "cifar10-mani-pure": (recipes.mani_pure, 1),
    "cifar10-mani-diffpure": (partial(recipes.mani_pure, guide=Unguided()), 1),
    **{f"cifar10-dds-{s}": (partial(recipes.dds, sigma=s), 1) for s in SIGMAS},
    **{f"imagenet-dds-{s}": (partial(recipes.dds, sigma=s, schedule=DiscreteVP()), 1) for s in SIGMAS},
    **{f"cifar10-edm-{s}": (partial(recipes.edm_one_step, sigma=s), 1) for s in SIGMAS},
    **{f"cifar10-consistency-{s}": (partial(recipes.consistency, sigma=s), 1) for s in SIGMAS},
    **{f"cifar10-pf-ode-{s}": (partial(recipes.pf_ode, sigma=s, n_steps=n), 1) for s, n in SIGMAS.items()},
}


def preset(name: str) -> Predictor:
    """The predictor of that name, its networks not loaded yet."""
    if name not in PRESETS:
        raise ValueError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]()


def setting(name: str, denoise: Denoiser, classify: Classifier) -> Predictor:
    """A paper's setting over these networks, with its majority vote; `setting_purifier` alone takes SSNI on top."""
    _, n = _known(name)
    defense = Defense(setting_purifier(name, denoise), classify)
    return defense if n == 1 else Vote(defense, n)


def setting_purifier(name: str, denoise: Denoiser) -> Purifier:
    """The purifier of a paper's setting over this network."""
    return _known(name)[0](denoise)


def _known(name: str) -> tuple[Callable[[Denoiser], Purifier], int]:
    if name not in SETTINGS:
        raise ValueError(f"There is no setting {name!r}: choose one of {', '.join(SETTINGS)}.")
    return SETTINGS[name]
