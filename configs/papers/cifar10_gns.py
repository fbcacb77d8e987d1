"""GNS on CIFAR-10, plain or with SSNI: the GNS rows of SSNI's CIFAR-10 tables (arXiv:2506.06027).

    ssni fetch-list configs/papers/cifar10_gns.py
    ssni evaluate configs/papers/cifar10_gns.py --ssni N --protocol released --workdir DIR

Rounds of 30 (four times), 50 (twice) and 125 (twice) steps (Lee & Kim 2023). "exact" decides by the vote of 10 of that
paper, "released" by one purification as SSNI's code does. The attack of "released" differentiates the code's
surrogate: 30, 50 and 125 of 1000 in 1, 1 and 5 steps. Assumed: tau = 20, b = 5, and 512 images chosen by
RandomState(0).
"""

from dataclasses import replace

from ssni_jax.experiments.paper_rows import Cifar10Row, PaperMethod, paper_row, score_of
from ssni_jax.networks import IddpmCoefficients
from ssni_jax.recipes import ddpm_released, gns
from ssni_jax.schedules import DiscreteVP

ROUNDS = [30] * 4 + [50] * 2 + [125] * 2


def method(row):
    score = score_of(row)
    by_index = replace(score, coefficients=IddpmCoefficients(DiscreteVP()))
    return PaperMethod(
        exact=gns(score),
        released=ddpm_released(by_index, t_stars=ROUNDS, n_steps=ROUNDS),
        surrogate=ddpm_released(by_index, t_stars=[30, 50, 125], n_steps=[1, 1, 5]),
        n_votes=10,
    )


experiment = paper_row("GNS", Cifar10Row(), method)
