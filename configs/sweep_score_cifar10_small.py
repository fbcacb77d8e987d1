"""What DiffPure and SSNI-N keep of a ResNet-56's clean accuracy, with each of the small CIFAR-10 score networks.

    ssni convert resnet56-4bfd9763.th --family cifar-resnet --out weights
    ssni sweep configs/sweep_score_cifar10_small.py --workdir runs/score-networks

500 test images and one draw of each, in steps of 0.005 of the schedule: 10 at t* = 0.05 and 20 at 0.1.
`cifar10-small-edm` was trained around noise 0.67, `cifar10-small-score` around 0.15. The tau of SSNI-N is the spread of
the calibration's norms.
"""

import numpy as np

from ssni_jax.data import Npz
from ssni_jax.experiments import Cell, Evaluation, Sweep
from ssni_jax.purify import Defense, Predictor, predictor
from ssni_jax.recipes import diffpure_ddpm, ssni_n
from ssni_jax.zoo import Pretrained

CLASSIFIER = Pretrained("weights/resnet56-4bfd9763")
BEFORE, SCORE = Pretrained("cifar10-small-edm"), Pretrained("cifar10-small-score")
T_STARS = {0.05: 10, 0.1: 20}
ALIKE = {"attack": None, "order_seed": None, "n_images": 500, "batch_size": 100, "n_draws": 1, "n_pictures": 0}


def clean(name: str, predict: Predictor) -> Cell:
    """A defence without an attack."""
    return Cell(name, "clean", Evaluation("", predict, Npz("data/cifar10/cifar10_test.npz"), **ALIKE))


def cells():
    yield clean("Undefended", predictor(CLASSIFIER))
    calibration = SCORE.calibration()
    for t_star, n_steps in T_STARS.items():
        for network in (BEFORE, SCORE):
            base = diffpure_ddpm(network, t_star=t_star, n_steps=n_steps)
            yield clean(f"DiffPure {t_star}, {network.name}", Defense(base, CLASSIFIER))
        selected = ssni_n(base, calibration, tau=float(np.std(calibration.norms)))
        yield clean(f"SSNI-N {t_star}, {SCORE.name}", Defense(selected, CLASSIFIER))


experiment = Sweep("CIFAR-10: clean accuracy by score network", tuple(cells()))
