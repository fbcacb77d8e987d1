"""Reference norms of SSNI on ImageNet: 5,000 training images of 256 pixels chosen by RandomState(0), 50 levels.

ssni calibrate configs/papers/norms_imagenet.py --out weights/imagenet256-uncond.calibration.json
"""

from ssni_jax.data import CENTRE_256, ImageFolder
from ssni_jax.experiments import ReferenceNorms
from ssni_jax.published import Published
from ssni_jax.purify import ScoreNorm
from ssni_jax.schedules import VP

experiment = ReferenceNorms(
    "norms of imagenet",
    ScoreNorm(Published("imagenet256-uncond", "bfloat16"), VP(), n_levels=50),
    ImageFolder("data/imagenet/train", resizing=CENTRE_256),
    n_images=5000,
    order_seed=0,
)
