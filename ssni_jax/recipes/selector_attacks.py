"""What to attack an adaptive noise level with: every way to treat t(x), as attacks and objectives for a sweep."""

from ssni_jax.attacks import (
    Attack,
    CrossEntropy,
    Joint,
    Linf,
    LowerNorm,
    Objective,
    Pgd,
    Phases,
    RaiseNorm,
    TraceLoss,
)
from ssni_jax.attacks.threats import Threat
from ssni_jax.purify import SoftTime, StraightThroughTime


def selector_attacks(
    threat: Threat = Linf(),
    n_steps: int = 20,
    *,
    step_size: float = 0.007,
    n_draws: int = 10,
    scale: float = 20.0,
    weight: float = 1.0,
    n_first: int | None = None,
    loss: TraceLoss = CrossEntropy(),
) -> dict[str, tuple[Attack, Objective]]:
    """Attacks on a purifier that chooses its noise by t(x), by name; each has `n_steps` iterations in all.

    "t held" is SSNI's published adaptive attack (arXiv:2506.06027, code), "t soft" and "t straight-through"
    differentiate through t(x). The others also move the score norm, by which t(x) is chosen, in units of `scale`, which
    is SSNI-N's `tau`: together with the loss, `weight` being what one unit counts, or for the first `n_first` steps
    alone, half of them by default.
    """
    n_first = n_steps // 2 if n_first is None else n_first
    if not 0 < n_first < n_steps:
        raise ValueError(f"Both phases need a step, got n_first={n_first} of n_steps={n_steps}: raise n_steps.")
    norms = {"lower the norm": LowerNorm(scale), "raise the norm": RaiseNorm(scale)}
    attack = Pgd(threat, step_size, n_steps)
    held = Objective(loss=loss, n_draws=n_draws, hold=True)
    soft = Objective(loss=loss, n_draws=n_draws, differentiate=SoftTime())
    straight = Objective(loss=loss, n_draws=n_draws, differentiate=StraightThroughTime())
    first, then = Pgd(threat, step_size, n_first), Pgd(threat, step_size, n_steps - n_first)
    return {
        "t held": (attack, held),
        "t soft": (attack, soft),
        "t straight-through": (attack, straight),
        **{f"{name} too": (attack, soft.with_loss(Joint(loss, norm, weight))) for name, norm in norms.items()},
        **{f"{name} first": (Phases(first, then, norm), soft) for name, norm in norms.items()},
    }
