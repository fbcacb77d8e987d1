"""GNS on ImageNet, plain or with SSNI: the GNS rows of SSNI's ImageNet table (arXiv:2506.06027).

    ssni fetch-list configs/papers/imagenet_gns.py
    ssni evaluate configs/papers/imagenet_gns.py --ssni N --images.path data/imagenet/val --workdir DIR

Rounds of 30 (four times), 50 (twice) and 200 (twice) steps (Lee & Kim 2023). "exact" decides by the vote of 10 of that
paper, "released" by one purification as SSNI's code does, attacked through 30, 50 and 200 of 1000 in 1, 1 and 5 steps.
Networks, sizes, budget and the other assumptions are those of imagenet_diffpure.py.
"""

from dataclasses import replace

from ssni_jax.experiments.paper_rows import ImageNetRow, PaperMethod, paper_row, score_of
from ssni_jax.recipes import ddpm_released, gns
from ssni_jax.recipes.gns import IMAGENET

ROUNDS = [30] * 4 + [50] * 2 + [200] * 2


def method(row):
    score = score_of(row)
    return PaperMethod(
        exact=gns(score, rounds=IMAGENET),
        released=replace(ddpm_released(score, t_stars=ROUNDS, n_steps=ROUNDS), size=256),
        surrogate=ddpm_released(score, t_stars=[30, 50, 200], n_steps=[1, 1, 5]),
        n_votes=10,
    )


experiment = paper_row("GNS", ImageNetRow(), method)
