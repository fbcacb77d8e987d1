"""LPIPS v0.1: the released heads beside a torchvision backbone, or a whole saved module."""

import re

import numpy as np

from ssni_jax.convert.family import Family, Options, Plan, Tensors, TensorSource, torch_source
from ssni_jax.convert.shapes import count, shape_of
from ssni_jax.networks.backbones import STACKS, Placed, layers_of, widths
from ssni_jax.networks.lpips import SCALE, SHIFT, LpipsConfig

FILES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}


def plan(tensors: Tensors, options: Options) -> Plan:
    """The distance whose heads are in the file; left out are the backbone's classifier and the scaling, a constant."""
    name = _backbone(tensors)
    _check_scaling(tensors)
    whole = "net.slice1.0.weight" in tensors
    if not whole and "features.0.weight" not in tensors:
        raise ValueError(f"the file holds the heads of LPIPS alone: add torchvision's {FILES[name]}, its backbone")
    # A saved module has every head twice, as lin0 and as lins.0: torch reads the second name last, so it counts.
    doubled = "lins.0.model.1.weight" in tensors
    heads, left_out = ("lins.{}.model.1", r"lin\d+\.") if doubled else ("lin{}.model.1", r"classifier\.")
    placed = {each.name: each for each in layers_of(STACKS[name])}
    ignored = (key for key in tensors if re.match(rf"{left_out}|scaling_layer\.", key))
    return Plan(LpipsConfig(backbone=name), lambda key: _source(key, placed, heads, whole), tuple(ignored))


def _backbone(tensors: Tensors) -> str:
    n_taps = count(tensors, r"lin\d+\.model\.1\.weight")
    found = tuple(shape_of(tensors, f"lin{i}.model.1.weight")[1] for i in range(max(n_taps, 1)))
    for name, stack in STACKS.items():
        if widths(stack) == found:
            return name
    raise ValueError(f"heads of {list(found)} channels fit none of the backbones {', '.join(STACKS)}")


def _check_scaling(tensors: Tensors) -> None:
    for leaf, known in (("shift", SHIFT), ("scale", SCALE)):
        found = np.ravel(tensors.get(f"scaling_layer.{leaf}", known))
        if not np.allclose(found, known):
            raise ValueError(f"scaling_layer.{leaf} is {found.tolist()} and not {list(known)}: this is not LPIPS v0.1")


def _source(key: str, placed: dict[str, Placed], heads: str, whole: bool) -> TensorSource:
    path = key.split("/")
    if path[0] == "heads":
        return torch_source(heads.format(path[1].removeprefix("tap")), "kernel")
    _, _, layer, *inner, leaf = path
    each = placed[layer]
    outer = f"net.slice{each.stage + 1}" if whole else "features"
    return torch_source(".".join([outer, str(each.index), *inner]), leaf)


LPIPS = Family(
    name="lpips",
    checkpoints="LPIPS v0.1 alex, vgg and squeeze: its heads with torchvision's alexnet, vgg16 or squeezenet1_1",
    purpose="perceptual distance between images",
    licence="BSD-2-Clause (heads; the backbones' own is unstated)",
    plan=plan,
)
