"""Real weights on real images: CIFAR-10 ResNets, SqueezeNet and LPIPS over it."""

import io as memory
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from ssni_jax.convert import read_checkpoint
from ssni_jax.convert.cifar_resnet import CIFAR_RESNET
from ssni_jax.convert.family import Family, convert
from ssni_jax.convert.lpips import LPIPS
from ssni_jax.convert.selection import state_dict
from ssni_jax.convert.torchvision import SQUEEZENET
from ssni_jax.core.types import Tree
from ssni_jax.networks import PreprocessedClassifier
from tests.reference.case import Check, compare
from tests.reference.networks import network

LOGITS, DISTANCE, BLOCK = 1e-4, 1e-4, 500
ACCURACIES = {"resnet20-12fca82f.th": 0.9173, "resnet56-4bfd9763.th": 0.9339}
SQUEEZENET_FILE, HEADS_FILE = "squeezenet1_1_imagenet_torchvision.pth", "lpips_v0.1_squeeze.pth"


def checks(file: Path, data: Path) -> Iterator[Check]:
    """The outputs of one file of real results, whose weights and images lie in `data`."""
    return {"cifar_resnet": cifar, "squeezenet_lpips": squeezenet}[file.stem](dict(np.load(file)), data)


def cifar(io: dict[str, np.ndarray], data: Path) -> Iterator[Check]:
    """Logits on some images, and accuracy on all of them."""
    with np.load(data / "cifar10_test.npz") as archive:
        images, y = archive["images"], archive["labels"]
    for name, accuracy in ACCURACIES.items():
        logits = classified(data / "checkpoints" / name, CIFAR_RESNET, images)
        output = f"logits_{name.split('-')[0]}"
        yield compare("real/cifar_resnet", output, logits[io["in_index"]], io[f"out_{output}"], LOGITS)
        correct = np.mean(np.argmax(logits, 1) == y)
        # Half an image: the reference is stated to four digits, ours is a count of 10,000.
        yield compare("real/cifar_resnet", f"accuracy_{name.split('-')[0]}", correct, np.asarray(accuracy), 5e-5)


def squeezenet(io: dict[str, np.ndarray], data: Path) -> Iterator[Check]:
    """SqueezeNet's logits, and LPIPS between images, noised images and other images."""
    case, weights = "real/squeezenet_lpips", data / "checkpoints"
    images = samples(data / "imagenet_samples_224_q92.zip", io["in_names"].tolist())
    logits = classified(weights / SQUEEZENET_FILE, SQUEEZENET, images)
    yield compare(case, "logits", logits, io["out_logits"], LOGITS)
    for output, found in distances(lpips(weights), images[:8], cifar_images(data)).items():
        yield compare(case, output, found, io[f"out_{output}"], DISTANCE)


def distances(distance: Tree, images: np.ndarray, small: np.ndarray) -> dict[str, np.ndarray]:
    """LPIPS as the reference took it: one draw of noise for each of the two sizes, in this order."""
    a, c = (np.asarray(part, np.float32) / 127.5 - 1 for part in (images, small))
    draws = np.random.RandomState(0)
    noise, small_noise = (np.moveaxis(draws.standard_normal((8, 3, n, n)), 1, -1).astype(np.float32) for n in (224, 32))
    run = jax.jit(lambda distance, a, b: distance(a, b))
    noised = c + 0.3 * small_noise
    found = {
        "lpips_self": run(distance, a, a),
        "lpips_noise_0.05": run(distance, a, a + 0.05 * noise),
        "lpips_noise_0.3": run(distance, a, a + 0.3 * noise),
        "lpips_other": run(distance, a, np.roll(a, 1, 0)),
        "lpips_cifar_noise_0.3": run(distance, c, noised),
        "lpips_cifar_noise_0.3_resized224": run(distance, enlarged(c), enlarged(noised)),
    }
    return {name: np.asarray(value) for name, value in found.items()}


def classified(file: Path, family: Family, images: np.ndarray) -> np.ndarray:
    """Logits of a released classifier on uint8 images, 500 at a time."""
    converted = convert(family, read_checkpoint(file))
    classifier: Any = PreprocessedClassifier(network(converted), converted.around)
    run = jax.jit(lambda classifier, x: classifier(x))
    blocks = (images[i : i + BLOCK] for i in range(0, len(images), BLOCK))
    return np.concatenate([run(classifier, jnp.asarray(block, jnp.float32) / 255) for block in blocks])


def lpips(weights: Path) -> Tree:
    """LPIPS from its own heads and torchvision's SqueezeNet."""
    backbone, heads = (state_dict(read_checkpoint(weights / name)) for name in (SQUEEZENET_FILE, HEADS_FILE))
    return network(convert(LPIPS, {**backbone, **heads}))


def samples(archive: Path, names: list[str]) -> np.ndarray:
    """Images of a zip file by name."""
    with zipfile.ZipFile(archive) as content:
        return np.stack([np.asarray(Image.open(memory.BytesIO(content.read(name))).convert("RGB")) for name in names])


def cifar_images(data: Path) -> np.ndarray:
    """The first eight images of the test set."""
    with np.load(data / "cifar10_test.npz") as archive:
        return archive["images"][:8]


def enlarged(x: np.ndarray) -> jax.Array:
    return jax.image.resize(jnp.asarray(x), (len(x), 224, 224, 3), "linear")
