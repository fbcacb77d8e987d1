"""Sources of images, the loader, and the input contract."""

from ssni_jax.data.adversarial import AdversarialImages
from ssni_jax.data.corruptions import Corrupted
from ssni_jax.data.digits import Digits
from ssni_jax.data.folder import ImageFolder
from ssni_jax.data.images import check_images, read_image, write_image
from ssni_jax.data.loader import evaluation_batches, padded, training_batches
from ssni_jax.data.npz import Npz
from ssni_jax.data.source import InMemory, Source, take
from ssni_jax.data.tfds import TfdsDirectory

__all__ = [
    "AdversarialImages",
    "Corrupted",
    "Digits",
    "ImageFolder",
    "InMemory",
    "Npz",
    "Source",
    "TfdsDirectory",
    "check_images",
    "evaluation_batches",
    "padded",
    "read_image",
    "take",
    "training_batches",
    "write_image",
]
