"""DiffPure on CIFAR-10, plain or with SSNI: the DiffPure rows of SSNI's CIFAR-10 tables (arXiv:2506.06027).

    ssni fetch-list configs/papers/cifar10_diffpure.py
    ssni evaluate configs/papers/cifar10_diffpure.py --ssni N --norm Linf --classifier wrn-70-16 --workdir DIR

Networks: checkpoint_8.pth of score_sde, RobustBench's Standard (WRN-28-10) or DiffPure's WRN-70-16 with dropout.
t* is 100 of 1000 steps against Linf and 75 against L2 (DiffPure, Nie et al. 2022; that SSNI's L2 rows use 75 too is
assumed). Assumed as well: tau = 20 and b = 5, and 512 images chosen by RandomState(0), as in the code.
"released" attacks by PGD in 200 steps of 0.007 with 20 draws through a surrogate of 20 steps, in the L2 ball along the
sign of the gradient; "exact" attacks by AutoAttack's "rand" through all steps.
"""

from dataclasses import replace

from ssni_jax.experiments.paper_rows import Cifar10Row, PaperMethod, paper_row, score_of
from ssni_jax.networks import IddpmCoefficients
from ssni_jax.recipes import ddpm_released, diffpure_ddpm
from ssni_jax.schedules import DiscreteVP


def method(row):
    t_star = 100 if row.norm == "Linf" else 75
    score = score_of(row)
    by_index = replace(score, coefficients=IddpmCoefficients(DiscreteVP()))
    return PaperMethod(
        exact=diffpure_ddpm(score, t_star=t_star / 1000, n_steps=t_star),
        released=ddpm_released(by_index, t_stars=[t_star], n_steps=[t_star]),
        surrogate=ddpm_released(by_index, t_stars=[t_star], n_steps=[20]),
    )


experiment = paper_row("DiffPure", Cifar10Row(), method)
