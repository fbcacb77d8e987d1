"""DiffPure on ImageNet, plain or with SSNI: the DiffPure rows of SSNI's ImageNet table (arXiv:2506.06027).

    ssni fetch-list configs/papers/imagenet_diffpure.py
    ssni evaluate configs/papers/imagenet_diffpure.py --ssni N --images.path data/imagenet/val --workdir DIR

Networks: guided-diffusion 256 x 256 unconditional, torchvision's ResNet-50 (first weights). t* is 150 of 1000 steps,
the score norm has 50 levels, the budget is Linf 4/255. "exact" purifies images of 256 pixels, which the classifier
sees at 224. "released" attacks images of 224 pixels: its score norm sees them as they are, its purifier enlarges them
to 256 and shrinks the result. Assumed: tau = 20, b = 5, a surrogate of 10 steps, PGD in 20 steps (the code's example
has 200), and 512 images chosen by RandomState(0).
"""

from dataclasses import replace

from ssni_jax.experiments.paper_rows import ImageNetRow, PaperMethod, paper_row, score_of
from ssni_jax.recipes import ddpm_released, diffpure_ddpm
from ssni_jax.schedules import DiscreteVP


def method(row):
    score = score_of(row)
    return PaperMethod(
        exact=diffpure_ddpm(score, t_star=0.15, n_steps=150, schedule=DiscreteVP()),
        released=replace(ddpm_released(score, t_stars=[150], n_steps=[150]), size=256),
        surrogate=ddpm_released(score, t_stars=[150], n_steps=[10]),
    )


experiment = paper_row("DiffPure", ImageNetRow(), method)
