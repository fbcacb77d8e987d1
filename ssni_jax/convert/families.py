"""All checkpoint families, by name."""

import difflib

from ssni_jax.convert import hugging_face, timm
from ssni_jax.convert.cifar_resnet import CIFAR_RESNET
from ssni_jax.convert.consistency_models import CONSISTENCY_MODELS
from ssni_jax.convert.edm import EDM
from ssni_jax.convert.family import Family, fits
from ssni_jax.convert.guided_diffusion import GUIDED_DIFFUSION
from ssni_jax.convert.improved_diffusion import IMPROVED_DIFFUSION
from ssni_jax.convert.inception import FID_INCEPTION, TORCHVISION_INCEPTION
from ssni_jax.convert.jcm import JCM
from ssni_jax.convert.lpips import LPIPS
from ssni_jax.convert.robustbench import DM_WIDE_RESNET, STANDARD
from ssni_jax.convert.rrcm import RRCM
from ssni_jax.convert.score_sde import SCORE_SDE
from ssni_jax.convert.selection import Choice
from ssni_jax.convert.torchvision import RESNET, SQUEEZENET
from ssni_jax.core.types import Tree

DENOISERS = (SCORE_SDE, EDM, GUIDED_DIFFUSION, IMPROVED_DIFFUSION, CONSISTENCY_MODELS, JCM)
CLASSIFIERS = (
    *(STANDARD, DM_WIDE_RESNET, CIFAR_RESNET, RESNET, SQUEEZENET),
    *(timm.VIT, timm.DEIT, hugging_face.VIT, hugging_face.DEIT),
    *(FID_INCEPTION, TORCHVISION_INCEPTION),
)
FAMILIES = {family.name: family for family in (*DENOISERS, *CLASSIFIERS, RRCM, LPIPS)}


def family_named(name: str) -> Family:
    """The family of that name, or a ValueError with the nearest names."""
    if name not in FAMILIES:
        near = difflib.get_close_matches(name, FAMILIES, n=3, cutoff=0.4) or list(FAMILIES)
        raise ValueError(f"there is no family {name!r}: did you mean {', '.join(near)}? `ssni convert --list` has all.")
    return FAMILIES[name]


def fitting(tree: Tree, choice: Choice = Choice()) -> list[str]:
    """Names of the families whose tensors `tree` holds."""
    return [name for name, family in FAMILIES.items() if fits(family, tree, choice)]
