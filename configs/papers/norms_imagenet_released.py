"""Reference norms as SSNI's ImageNet code measures them: images of 224 pixels, continuous labels, 50 levels.

    ssni calibrate configs/papers/norms_imagenet_released.py --out weights/imagenet256-uncond.released.calibration.json

5,000 training images chosen by RandomState(0); the code also mirrors half of them at random, which is left out.
"""

from ssni_jax.data import TORCHVISION_224, ImageFolder
from ssni_jax.experiments import ReferenceNorms
from ssni_jax.published import Published
from ssni_jax.purify import ScoreNorm
from ssni_jax.schedules import VP

score = Published("imagenet256-uncond", "bfloat16")
experiment = ReferenceNorms(
    "norms of imagenet released",
    ScoreNorm(score.with_continuous_labels(VP()), VP(), n_levels=50),
    ImageFolder("data/imagenet/train", resizing=TORCHVISION_224),
    n_images=5000,
    order_seed=0,
    any_size=True,
)
