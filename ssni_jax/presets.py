"""Ready-made defences by name, over the networks that ship with the package."""

from collections.abc import Callable

from ssni_jax.purify import Defense, Purifier
from ssni_jax.recipes import diffpure_ddpm, ssni_l, ssni_n, unpurified
from ssni_jax.zoo import Pretrained

SCORE, CLASSIFIER = Pretrained("digits-score"), Pretrained("digits-classifier")
T_STAR, BIAS, TAU = 0.1, 0.005, 20.0


def digits_undefended() -> Defense:
    """The bare classifier."""
    return Defense(unpurified(SCORE), CLASSIFIER)


def digits_diffpure() -> Defense:
    """DiffPure by ancestral sampling at a fixed t_star."""
    return Defense(_base(), CLASSIFIER)


def digits_ssni_l() -> Defense:
    """DiffPure with SSNI-L's linear reweighting."""
    return Defense(ssni_l(_base(), SCORE.calibration(), bias=BIAS), CLASSIFIER)


def digits_ssni_n() -> Defense:
    """DiffPure with SSNI-N's sigmoid reweighting."""
    return Defense(ssni_n(_base(), SCORE.calibration(), tau=TAU, bias=BIAS), CLASSIFIER)


def _base() -> Purifier:
    return diffpure_ddpm(SCORE, t_star=T_STAR)


PRESETS: dict[str, Callable[[], Defense]] = {
    "digits-undefended": digits_undefended,
    "digits-diffpure": digits_diffpure,
    "digits-ssni-l": digits_ssni_l,
    "digits-ssni-n": digits_ssni_n,
}


def preset(name: str) -> Defense:
    """The defence of that name, its networks not loaded yet."""
    if name not in PRESETS:
        raise ValueError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]()
