"""SSNI (arXiv:2506.06027): sample-specific noise over any purifier with fixed levels."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from ssni_jax.core.protocols import Deviation, NoiseLevel, NoiseSchedule
from ssni_jax.purify import Calibration, Constant, Purifier, Round, Rounded, ScoreNorm, SsniLinear, SsniSigmoid
from ssni_jax.schedules import VP

Reweight = Callable[[float], NoiseLevel]


def ssni_n(
    base: Purifier,
    calibration: Calibration,
    *,
    tau: float,
    bias: float = 0.005,
    deviation: Deviation | None = None,
) -> Purifier:
    """SSNI-N over any fixed-level purifier: t = (t_star + bias) sigmoid((xi - mean) / tau), to integer steps.

    `tau` is in units of the score norm, `bias` in schedule time (the paper's 5 steps are 0.005). Another `deviation`
    than the score norm needs a calibration made with it.
    """
    if tau <= 0:
        raise ValueError(f"tau must be a positive score norm, got {tau}: zero or less turns SSNI-N upside down.")
    n = n_steps_of(base)

    def reweight(t_star: float) -> NoiseLevel:
        return Rounded(SsniSigmoid(calibration.mean, tau, t_star, bias), n)

    return ssni(base, calibration, reweight, bias=bias, deviation=deviation)


def ssni_l(
    base: Purifier, calibration: Calibration, *, bias: float = 0.005, deviation: Deviation | None = None
) -> Purifier:
    """SSNI-L over any fixed-level purifier: t = t_star (xi - low) / (high - low) + bias; otherwise as `ssni_n`."""
    n = n_steps_of(base)

    def reweight(t_star: float) -> NoiseLevel:
        return Rounded(SsniLinear(calibration.low, calibration.high, t_star, bias), n)

    return ssni(base, calibration, reweight, bias=bias, deviation=deviation)


def ssni(
    base: Purifier,
    calibration: Calibration,
    reweight: Reweight,
    *,
    bias: float,
    deviation: Deviation | None = None,
) -> Purifier:
    """Any purifier with sample-specific noise (arXiv:2506.06027): every round's t_star becomes `reweight(t_star)`.

    One deviation, measured on the input, reweights every round. Grids of a fixed step size are lengthened by the bias.
    A calibration by another network or another deviation than the one that measures is refused. By default that is the
    score norm of the base's denoiser on the continuous VP schedule, whatever the base's, as published and as
    `ssni calibrate` takes it.

    A variance-exploding base is put on the VP schedule first, with the same noise: its own time is the noise itself, in
    which a bias of 0.005 and steps of 0.001 would mean something else.
    """
    deviation = ScoreNorm(base.denoise, VP(), calibration.n_levels) if deviation is None else deviation
    calibration.check(deviation)
    return selected_by(deviation, base, reweight, bias=bias)


def selected_by(deviation: Deviation, base: Purifier, reweight: Reweight, *, bias: float) -> Purifier:
    """`ssni` without a calibration: `reweight` knows already what a norm of this deviation means."""
    base = in_vp_time(base)
    rounds = tuple(_reweighted(round, reweight, bias) for round in base.rounds)
    return dataclasses.replace(base, rounds=rounds, deviation=deviation)


def n_steps_of(base: Purifier) -> int:
    """The integer time steps to which t(x) is rounded over this base."""
    return integer_steps(base.schedule) or VP.n_integer_steps


def integer_steps(schedule: NoiseSchedule) -> int | None:
    """The integer time steps of a schedule; None where time is the noise level itself."""
    return getattr(schedule, "n_integer_steps", VP.n_integer_steps)


def in_vp_time(base: Purifier) -> Purifier:
    """A purifier whose time is the noise level itself as the same one on the VP schedule; any other is left alone."""
    if integer_steps(base.schedule) is not None:
        return base
    return dataclasses.replace(base, schedule=VP(), rounds=tuple(_retimed(round) for round in base.rounds))


def _retimed(round: Round) -> Round:
    if not round.grid.divides_noise:
        raise ValueError(
            f"{type(round.grid).__name__} divides the variance-exploding schedule's own time, which SSNI leaves: "
            "give the levels by Karras or EqualNoise, which divide noise."
        )
    sigma = jnp.asarray(_fixed(round), jnp.float32)
    return dataclasses.replace(round, level=Constant(float(VP().inverse(sigma))))


def _reweighted(round: Round, reweight: Reweight, bias: float) -> Round:
    t_star = _fixed(round)
    return dataclasses.replace(round, level=reweight(t_star), grid=round.grid.reaching(t_star + bias, t_star))


def _fixed(round: Round) -> float:
    if round.level.adaptive:
        raise ValueError(
            f"SSNI reweights a fixed noise level, and this round's is {type(round.level).__name__}: "
            "apply it to a recipe with a constant t_star."
        )
    return round.level.fixed().t_star
