"""Reference norms of SSNI on CIFAR-10: 5,000 training images chosen by RandomState(0), 20 levels.

ssni calibrate configs/papers/norms_cifar10.py --out weights/cifar10-score.calibration.json
"""

from ssni_jax.data import Npz
from ssni_jax.experiments import ReferenceNorms
from ssni_jax.published import Published
from ssni_jax.purify import ScoreNorm
from ssni_jax.schedules import VP

experiment = ReferenceNorms(
    "norms of cifar10",
    ScoreNorm(Published("cifar10-score"), VP(), n_levels=20),
    Npz("data/cifar10/cifar10_train_*.npz"),
    n_images=5000,
    order_seed=0,
)
