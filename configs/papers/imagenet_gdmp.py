"""GDMP on ImageNet, plain or with SSNI: the GDMP rows of SSNI's ImageNet table (arXiv:2506.06027).

    ssni fetch-list configs/papers/imagenet_gdmp.py
    ssni evaluate configs/papers/imagenet_gdmp.py --ssni N --images.path data/imagenet/val --workdir DIR

"exact" is GDMP's own ImageNet setting (Wang et al. 2022): one round of 45 of 250 steps, guided by SSIM, decided by a
vote of 5. "released" is four rounds of 36 of 1000 steps without guidance, which is what SSNI's code runs under this
name; that the ImageNet rows use the CIFAR-10 rounds is assumed. Networks, sizes, budget and the other assumptions are
those of imagenet_diffpure.py.
"""

from dataclasses import replace

from ssni_jax.experiments.paper_rows import ImageNetRow, PaperMethod, paper_row, score_of
from ssni_jax.recipes import ddpm_released, gdmp_imagenet


def method(row):
    score = score_of(row)
    return PaperMethod(
        exact=gdmp_imagenet(score),
        released=replace(ddpm_released(score, t_stars=[36] * 4, n_steps=[36] * 4), size=256),
        surrogate=ddpm_released(score, t_stars=[36] * 4, n_steps=[10] * 4),
        n_votes=5,
    )


experiment = paper_row("GDMP", ImageNetRow(), method)
