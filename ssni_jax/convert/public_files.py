"""The public checkpoints that the configs of this project read: where they are, and which networks they hold.

Sizes and hashes are given where their publishers or several independent users state them; None where nobody does.
"""

import dataclasses
import shlex
from typing import Any, NamedTuple

from ssni_jax.convert.public_shapes import (
    ADM_64,
    ADM_256,
    DDPMPP_DEEP,
    EDM_CIFAR10,
    IMPROVED_CIFAR10,
    JCM_CIFAR10,
    VIT_CIFAR10,
)
from ssni_jax.networks import (
    ConsistencyCoefficients,
    EdmCoefficients,
    IddpmCoefficients,
    LpipsConfig,
    Preprocessing,
    ResNetConfig,
    VpCoefficients,
    WideResNetConfig,
)
from ssni_jax.schedules import VP, CosineVP, DiscreteVP

DRIVE, OPENAI = "https://drive.google.com", "https://openaipublic.blob.core.windows.net"
JCM, PYTORCH = f"{OPENAI}/consistency/jcm_checkpoints", "https://download.pytorch.org/models"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Download(NamedTuple):
    """One file: its name, its address or page, and its size in bytes and sha256 where they are known."""

    file: str
    url: str
    n_bytes: int | None = None
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class PublicFile:
    """A released checkpoint, and the network that `ssni convert` makes of it under `name`.

    `config` and `around` are the architecture and its preconditioning or preprocessing. The second of two downloads is
    the backbone under the heads of LPIPS.
    """

    name: str
    downloads: tuple[Download, ...]
    family: str
    licence: str
    config: Any
    around: Any = None
    flags: tuple[str, ...] = ()

    def convert_line(self, folder: str = "weights") -> str:
        """The command that stores the network in `folder`."""
        first, *second = (download.file for download in self.downloads)
        backbone = ["--backbone", *second] if second else []
        target = ["--family", self.family, "--out", folder, "--name", self.name]
        return shlex.join(["ssni", "convert", first, *backbone, *target, *self.flags])


_FILES = (
    PublicFile(
        "cifar10-score",
        (Download("checkpoint_8.pth", f"{DRIVE}/file/d/16_-Ahc6ImZV5ClUc0vM5Iivf8OJ1VSif"),),
        "score-sde",
        "Apache-2.0",
        DDPMPP_DEEP,
        VpCoefficients(VP()),
    ),
    PublicFile(
        "wrn-28-10",
        (
            Download(
                "Standard.pt",
                f"{DRIVE}/file/d/1t98aEuzeTL8P7Kpd5DIrCoCL21BNZUhC",
                sha256="6ed1c75dad63e8ebdbef365020dd1a7eee5e79cf8a1438bd3bdc3b9c7aab3d44",
            ),
        ),
        "robustbench-wide-resnet",
        "MIT",
        WideResNetConfig(28, 10),
        Preprocessing(),
    ),
    PublicFile(
        "wrn-70-16",
        (Download("weights.pt", f"{DRIVE}/drive/folders/1istqcnPNXJ-TQFdxRqNJuInzOtlYOG1b"),),
        "robustbench-wide-resnet",
        "unstated (DiffPure's own training)",
        WideResNetConfig(70, 16),
        Preprocessing(),
    ),
    PublicFile(
        "imagenet256-uncond",
        (
            Download(
                "256x256_diffusion_uncond.pt",
                f"{OPENAI}/diffusion/jul-2021/256x256_diffusion_uncond.pt",
                2_211_383_297,
                "a37c32fffd316cd494cf3f35b339936debdc1576dad13fe57c42399a5dbc78b1",
            ),
        ),
        "guided-diffusion",
        "MIT",
        ADM_256,
        IddpmCoefficients(DiscreteVP()),
    ),
    PublicFile(
        "resnet50-256",
        (
            Download(
                "resnet50-0676ba61.pth",
                f"{PYTORCH}/resnet50-0676ba61.pth",
                102_530_333,
                "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
            ),
        ),
        "torchvision-resnet",
        "BSD-3-Clause (code; the weights' own is unstated)",
        ResNetConfig(block="bottleneck", stages=(3, 4, 6, 3)),
        Preprocessing(IMAGENET_MEAN, IMAGENET_STD, size=224, antialias=False),
        ("--set", "antialias=False"),
    ),
    PublicFile(
        "ddpm-cifar10",
        (Download("cifar10_uncond_50M_500K.pt", f"{OPENAI}/diffusion/march-2021/cifar10_uncond_50M_500K.pt"),),
        "improved-diffusion",
        "MIT",
        IMPROVED_CIFAR10,
        IddpmCoefficients(CosineVP(), 4000, 0.25),
    ),
    PublicFile(
        "edm-cifar10",
        (Download("checkpoint_40", f"{JCM}/edm_cifar10_ema/checkpoints/checkpoint_40"),),
        "jcm",
        "Apache-2.0",
        JCM_CIFAR10,
        EdmCoefficients(),
        ("--set", "training_mode=edm"),
    ),
    PublicFile(
        "cd-lpips-cifar10",
        (Download("checkpoint_80", f"{JCM}/cd-lpips/checkpoints/checkpoint_80"),),
        "jcm",
        "Apache-2.0",
        JCM_CIFAR10,
        ConsistencyCoefficients(label_scale=0.25),
    ),
    PublicFile(
        "consistency-purification-cifar10",
        (
            Download(
                "checkpoint_120",
                "https://huggingface.co/datasets/YiquanLi/Consistency_Purification/blob/main/checkpoint_120",
            ),
        ),
        "jcm",
        "unstated",
        JCM_CIFAR10,
        ConsistencyCoefficients(label_scale=0.25),
    ),
    PublicFile(
        "cifar10-classifier",
        (
            Download(
                "model.safetensors",
                "https://huggingface.co/aaraki/vit-base-patch16-224-in21k-finetuned-cifar10",
            ),
        ),
        "hf-vit",
        "Apache-2.0",
        VIT_CIFAR10,
        Preprocessing((0.5,), (0.5,), size=224, interpolation="cubic"),
        ("--set", "interpolation=cubic"),
    ),
    PublicFile(
        "edm-cifar10-uncond-vp",
        (
            Download(
                "edm-cifar10-32x32-uncond-vp.pkl",
                "https://nvlabs-fi-cdn.nvidia.com/edm/pretrained/edm-cifar10-32x32-uncond-vp.pkl",
            ),
        ),
        "edm",
        "CC BY-NC-SA 4.0",
        EDM_CIFAR10,
        EdmCoefficients(),
    ),
    PublicFile(
        "edm-imagenet64",
        (Download("edm_imagenet64_ema.pt", f"{OPENAI}/consistency/edm_imagenet64_ema.pt"),),
        "consistency-models",
        "MIT",
        ADM_64,
        EdmCoefficients(label_scale=250.0),
        ("--set", "training_mode=edm"),
    ),
    PublicFile(
        "cd-imagenet64",
        (Download("cd_imagenet64_lpips.pt", f"{OPENAI}/consistency/cd_imagenet64_lpips.pt"),),
        "consistency-models",
        "MIT",
        ADM_64,
        ConsistencyCoefficients(),
    ),
    PublicFile(
        "lpips_v0.1_vgg",
        (
            Download(
                "vgg.pth",
                "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/vgg.pth",
                sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
            ),
            Download(
                "vgg16-397923af.pth",
                f"{PYTORCH}/vgg16-397923af.pth",
                553_433_881,
                "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            ),
        ),
        "lpips",
        "BSD-2-Clause (heads; the backbone's own is unstated)",
        LpipsConfig("vgg"),
    ),
)
PUBLIC_FILES = {public.name: public for public in _FILES}
"""Every public checkpoint, by the name under which the configs read it from their folder of weights."""
