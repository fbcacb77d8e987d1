"""How adversarial images are kept: exactly, or as images of 8 bits that are judged as they are kept; and their room."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from ssni_jax.core.types import Images
from ssni_jax.data.source import as_float
from ssni_jax.experiments import Evaluation
from ssni_jax.experiments.evaluation import KeptImages
from ssni_jax.files.remote import RemotePath

LEVELS = as_float(np.arange(256, dtype=np.uint8))
SLACK = 1e-3  # of a level: a change of whole levels may be rounded a little below them
UNITS = ("bytes", "kB", "MB", "GB", "TB")


@jax.jit
def in_eight_bits(image: Images, clean: Images) -> Images:
    """Every pixel moved towards the clean image to a level k / 255, so that it leaves no ball around 8-bit images."""
    level = 255 * image
    towards = jnp.where(image >= clean, jnp.floor(level + SLACK), jnp.ceil(level - SLACK))
    return jnp.asarray(LEVELS)[jnp.clip(towards, 0, 255).astype(jnp.int32)]


def as_stored(image: Shaped[np.ndarray, "B H W C"], keep: KeptImages) -> Shaped[np.ndarray, "B H W C"]:
    """The images in the type that they are kept in."""
    return np.round(255 * image).astype(np.uint8) if keep == "uint8" else image


def room_for(experiment: Evaluation, n_images: int, n_copies: int, workdir: Path) -> str:
    """What the adversarial images of `n_images` take at most, in a sentence; a ValueError if the disk has less."""
    per_image = int(np.prod(experiment.images.image_shape)) * np.dtype(experiment.keep_images).itemsize
    needed = n_images * n_copies * per_image
    taken = f"the adversarial images of {n_images} images take up to {size(needed)} as {experiment.keep_images}"
    if isinstance(workdir, RemotePath):
        return taken
    free = shutil.disk_usage(workdir).free
    if needed > free:
        remedy = "" if experiment.keep_images == "uint8" else ', or a quarter of it with keep_images="uint8"'
        raise ValueError(f"{taken}, and {workdir} has {size(free)} free: choose a --workdir with more room{remedy}.")
    return f"{taken}; {size(free)} are free"


def size(n_bytes: int) -> str:
    """1536 as 1.5 kB."""
    power = min(int(np.log10(max(n_bytes, 1))) // 3, len(UNITS) - 1)
    return f"{n_bytes / 1000**power:.3g} {UNITS[power]}"
