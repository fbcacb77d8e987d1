"""Sources of images, the loader, and the input contract."""

from ssni_jax.data.adversarial import AdversarialImages
from ssni_jax.data.corruptions import Corrupted
from ssni_jax.data.digits import Digits
from ssni_jax.data.folder import ImageFolder
from ssni_jax.data.images import check_images, read_image, write_image
from ssni_jax.data.loader import evaluation_batches, padded, training_batches
from ssni_jax.data.npz import Npz
from ssni_jax.data.parquet import Parquet
from ssni_jax.data.resizing import (
    ADM_256,
    CENTRE_256,
    TIMM_224,
    TORCHVISION_224,
    AdmCrop,
    ResizeCrop,
    Resizing,
    StraightResize,
    TensorResize,
)
from ssni_jax.data.source import InMemory, Source, take
from ssni_jax.data.tfds import TfdsDirectory

__all__ = [
    "ADM_256",
    "CENTRE_256",
    "TIMM_224",
    "TORCHVISION_224",
    "AdmCrop",
    "AdversarialImages",
    "Corrupted",
    "Digits",
    "ImageFolder",
    "InMemory",
    "Npz",
    "Parquet",
    "ResizeCrop",
    "Resizing",
    "Source",
    "StraightResize",
    "TensorResize",
    "TfdsDirectory",
    "check_images",
    "evaluation_batches",
    "padded",
    "read_image",
    "take",
    "training_batches",
    "write_image",
]
