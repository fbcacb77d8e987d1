"""Classifiers of torchvision: ResNets, wide ResNets and SqueezeNet 1.1, trained on ImageNet."""

from ssni_jax.convert.family import Family, Options, Plan, Tensors, TensorSource, buffers, torch_source
from ssni_jax.convert.preprocessing import preprocessing, settings, without_resizing
from ssni_jax.convert.shapes import count, shape_of
from ssni_jax.networks.backbones import STACKS, layers_of
from ssni_jax.networks.classifier import Preprocessing
from ssni_jax.networks.resnet import ResNetConfig
from ssni_jax.networks.squeezenet import SqueezeNetConfig

IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size=224)
TOP = {"conv": "conv1", "norm": "bn1", "head": "fc"}
PARTS = {f"{kind}{i}": f"{torch}{i + 1}" for kind, torch in (("conv", "conv"), ("norm", "bn")) for i in range(3)}
SHORTCUT = {"conv": "downsample.0", "norm": "downsample.1"}


def plan_resnet(tensors: Tensors, options: Options) -> Plan:
    """resnet18, 34, 50, 101, 152 and wide_resnet50_2, 101_2."""
    width, in_channels = shape_of(tensors, "conv1.weight")[:2]
    bottleneck = "layer1.0.conv3.weight" in tensors
    config = ResNetConfig(
        block="bottleneck" if bottleneck else "basic",
        stages=tuple(count(tensors, rf"layer{stage}\.\d+\.conv1\.weight") for stage in (1, 2, 3, 4)),
        width=width,
        widen_factor=shape_of(tensors, "layer1.0.conv1.weight")[0] // width if bottleneck else 1,
        n_classes=shape_of(tensors, "fc.weight")[0],
        in_channels=in_channels,
    )
    around = preprocessing(options, in_channels)
    return Plan(config, resnet_source, buffers(tensors, "num_batches_tracked"), around, without_resizing(around))


def resnet_source(key: str) -> TensorSource:
    """The tensor of a ResNet's parameter."""
    *path, leaf = key.split("/")
    if path[0] != "blocks":
        return torch_source(TOP[path[0]], leaf)
    stage, index = path[1].removeprefix("stage").split("_block")
    part = SHORTCUT[path[3]] if path[2] == "shortcut" else PARTS[path[2]]
    return torch_source(f"layer{int(stage) + 1}.{index}.{part}", leaf)


def plan_squeezenet(tensors: Tensors, options: Options) -> Plan:
    """squeezenet1_1."""
    config = SqueezeNetConfig(n_classes=shape_of(tensors, "classifier.1.weight")[0])
    around = preprocessing(options, shape_of(tensors, "features.0.weight")[1])
    return Plan(config, _squeezenet_source, (), around, without_resizing(around))


def _squeezenet_source(key: str) -> TensorSource:
    module, *rest, leaf = key.split("/")
    if module == "head":
        return torch_source("classifier.1", leaf)
    index = {each.name: each.index for each in layers_of(STACKS["squeeze"])}[rest[1]]
    return torch_source(".".join(["features", str(index), *rest[2:]]), leaf)


RESNET = Family(
    name="torchvision-resnet",
    checkpoints="torchvision resnet18, resnet34, resnet50, resnet101, resnet152, wide_resnet50_2 and wide_resnet101_2",
    purpose="the undefended ImageNet classifiers behind purification",
    licence="BSD-3-Clause (code; the weights' own is unstated)",
    plan=plan_resnet,
    options=settings(IMAGENET),
)
SQUEEZENET = Family(
    name="torchvision-squeezenet",
    checkpoints="torchvision squeezenet1_1",
    purpose="a small ImageNet classifier, and the smallest backbone of LPIPS",
    licence="BSD-3-Clause (code; the weights' own is unstated)",
    plan=plan_squeezenet,
    options=settings(IMAGENET),
)
