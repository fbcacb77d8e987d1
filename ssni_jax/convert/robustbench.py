"""WideResNets of RobustBench (Croce et al. 2021, arXiv:2010.09670): the "Standard" layout, and DeepMind's."""

from typing import Any, NamedTuple

import numpy as np

from ssni_jax.convert.family import Family, Options, Plan, Tensors, TensorSource, buffers, torch_source
from ssni_jax.convert.preprocessing import preprocessing, settings, without_resizing
from ssni_jax.convert.shapes import count, shape_of
from ssni_jax.core.types import Tree
from ssni_jax.networks.wide_resnet import WideResNetConfig

CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))
CIFAR100 = ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))


class Names(NamedTuple):
    """What a layout calls our modules; `block` numbers groups from `first`."""

    top: dict[str, str]
    block: str
    first: int
    parts: dict[str, str]


STANDARD_NAMES = Names(
    {"conv": "conv1", "norm": "bn1", "head": "fc"},
    "block{}.layer.{}",
    1,
    {"norm0": "bn1", "conv0": "conv1", "norm1": "bn2", "conv1": "conv2", "shortcut": "convShortcut"},
)
DM_NAMES = Names(
    {"conv": "init_conv", "norm": "batchnorm", "head": "logits"},
    "layer.{}.block.{}",
    0,
    {"norm0": "batchnorm_0", "conv0": "conv_0", "norm1": "batchnorm_1", "conv1": "conv_1", "shortcut": "shortcut"},
)


def plan_standard(tensors: Tensors, options: Options) -> Plan:
    """RobustBench's WideResNet; `sub_block1` is stored by some of its checkpoints and never used."""
    config = WideResNetConfig(**_shape(tensors, STANDARD_NAMES))
    unused = tuple(name for name in tensors if name.startswith("sub_block1."))
    ignored = buffers(tensors, "num_batches_tracked") + unused
    around = preprocessing(options, config.in_channels)
    return Plan(config, lambda key: _source(key, STANDARD_NAMES, config), ignored, around, without_resizing(around))


def plan_dm(tensors: Tensors, options: Options) -> Plan:
    """RobustBench's DMWideResNet; its normalisation comes from the file if the file has it, else from the classes."""
    shape = _shape(tensors, DM_NAMES)
    config = WideResNetConfig(**shape, activation=options["activation_fn"], padding="end")
    settled = _settled(options, config.n_classes)
    around = preprocessing({**options, **settled}, config.in_channels)
    ignored = (*buffers(tensors, "num_batches_tracked"), "mean", "std")
    return Plan(
        config, lambda key: _source(key, DM_NAMES, config), ignored, around, {**settled, **without_resizing(around)}
    )


def _settled(options: Options, n_classes: int) -> Options:
    """Mean and standard deviation of the data set with that many classes, where they are open."""
    usual = dict(zip(("mean", "std"), CIFAR100 if n_classes == 100 else CIFAR10, strict=True))
    return {name: value for name, value in usual.items() if options[name] is None}


def _stored(part: Tree, tensors: Tensors) -> Options:
    """The normalisation that RobustBench's class keeps among the tensors."""
    return {name: tuple(np.ravel(tensors[name]).tolist()) for name in ("mean", "std") if name in tensors}


def _shape(tensors: Tensors, names: Names) -> dict[str, Any]:
    conv = names.parts["conv0"]
    n_blocks = count(tensors, rf"{names.block.format(names.first, '[0-9]+')}.{conv}.weight")
    first = shape_of(tensors, f"{names.block.format(names.first, 0)}.{conv}.weight")
    return {
        "depth": 6 * n_blocks + 4,
        "widen_factor": first[0] // 16,
        "n_classes": shape_of(tensors, f"{names.top['head']}.weight")[0],
        "in_channels": shape_of(tensors, f"{names.top['conv']}.weight")[1],
    }


def _source(key: str, names: Names, config: WideResNetConfig) -> TensorSource:
    *path, leaf = key.split("/")
    if path[0] != "blocks":
        return torch_source(names.top[path[0]], leaf)
    group, index = divmod(int(path[1].removeprefix("block")), (config.depth - 4) // 6)
    return torch_source(f"{names.block.format(group + names.first, index)}.{names.parts[path[2]]}", leaf)


STANDARD = Family(
    name="robustbench-wide-resnet",
    checkpoints="RobustBench CIFAR-10 Standard (WRN-28-10), and others of its WideResNet class without normalisation",
    purpose="the undefended CIFAR classifier behind purification",
    licence="MIT",
    plan=plan_standard,
    options=settings(),
)
DM_WIDE_RESNET = Family(
    name="robustbench-dm-wide-resnet",
    checkpoints="RobustBench CIFAR-10 and -100 Gowal2020, Rebuffi2021, Gowal2021 and Wang2023 (WRN-28-10 to WRN-70-16)",
    purpose="adversarially trained CIFAR classifiers",
    licence="Apache-2.0 (Gowal2020, Rebuffi2021), else MIT",
    plan=plan_dm,
    options={"activation_fn": "swish", **settings(mean=None, std=None)},
    declared=_stored,
)
