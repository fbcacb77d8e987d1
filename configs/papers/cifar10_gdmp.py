"""GDMP on CIFAR-10, plain or with SSNI: the GDMP rows of SSNI's CIFAR-10 tables (arXiv:2506.06027).

    ssni fetch-list configs/papers/cifar10_gdmp.py
    ssni evaluate configs/papers/cifar10_gdmp.py --ssni L --norm L2 --protocol released --workdir DIR

Four rounds of 36 steps. "exact" is GDMP of its own paper (Wang et al. 2022): guided by the mean squared error to the
input, decided by a vote of 10. "released" is what SSNI's code runs under this name: the same rounds without guidance,
one purification. The score network is checkpoint_8.pth as in SSNI; GDMP itself used another network. Assumed: tau = 20,
b = 5, the surrogate of 20 steps per round, and 512 images chosen by RandomState(0).
"""

from dataclasses import replace

from ssni_jax.experiments.paper_rows import Cifar10Row, PaperMethod, paper_row, score_of
from ssni_jax.networks import IddpmCoefficients
from ssni_jax.recipes import ddpm_released, gdmp
from ssni_jax.schedules import DiscreteVP


def method(row):
    score = score_of(row)
    by_index = replace(score, coefficients=IddpmCoefficients(DiscreteVP()))
    return PaperMethod(
        exact=gdmp(score),
        released=ddpm_released(by_index, t_stars=[36] * 4, n_steps=[36] * 4),
        surrogate=ddpm_released(by_index, t_stars=[36] * 4, n_steps=[20] * 4),
        n_votes=10,
    )


experiment = paper_row("GDMP", Cifar10Row(), method)
