"""The CIFAR-10 ResNets 20 to 1202 of akamaster/pytorch_resnet_cifar10, with the shortcuts of He et al. 2016."""

from ssni_jax.convert.family import Family, Options, Plan, Tensors, TensorSource, buffers, torch_source
from ssni_jax.convert.preprocessing import preprocessing, settings, without_resizing
from ssni_jax.convert.shapes import count, shape_of
from ssni_jax.convert.torchvision import resnet_source
from ssni_jax.networks.classifier import Preprocessing
from ssni_jax.networks.resnet import ResNetConfig


def plan(tensors: Tensors, options: Options) -> Plan:
    """Three stages of basic blocks; the normalisation is the one that the project trained with."""
    width, in_channels = shape_of(tensors, "conv1.weight")[:2]
    config = ResNetConfig(
        block="basic",
        stages=tuple(count(tensors, rf"layer{stage}\.\d+\.conv1\.weight") for stage in (1, 2, 3)),
        width=width,
        stem="plain",
        shortcut="pad",
        n_classes=shape_of(tensors, "linear.weight")[0],
        in_channels=in_channels,
    )
    around = preprocessing(options, in_channels)
    return Plan(config, _source, buffers(tensors, "num_batches_tracked"), around, without_resizing(around))


def _source(key: str) -> TensorSource:
    module, leaf = key.split("/")[0], key.split("/")[-1]
    return torch_source("linear", leaf) if module == "head" else resnet_source(key)


CIFAR_RESNET = Family(
    name="cifar-resnet",
    checkpoints="akamaster/pytorch_resnet_cifar10 resnet20, 32, 44, 56, 110 and 1202",
    purpose="small undefended CIFAR-10 classifiers, quick enough for a CPU",
    licence="BSD-2-Clause",
    plan=plan,
    options=settings(Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))),
)
