"""Inception v3: the weights of FID, as pytorch-fid distributes them, and torchvision's."""

from ssni_jax.convert.family import Family, Options, Plan, Tensors, TensorSource, buffers, torch_source
from ssni_jax.convert.preprocessing import preprocessing, settings, without_resizing
from ssni_jax.convert.shapes import shape_of
from ssni_jax.networks.classifier import Preprocessing
from ssni_jax.networks.inception import InceptionConfig

N_2015 = 1008  # TensorFlow's graph of 2015-12-05 has 1000 classes and 8 outputs that mean nothing
N_CHANNELS = 3
FIRST, LEAVES = "Conv2d_1a_3x3.conv.weight", {"conv": "conv", "norm": "bn"}


def plan_fid(tensors: Tensors, options: Options) -> Plan:
    """pt_inception-2015-12-05-6726825d.pth: images are resized as torch's bilinear `interpolate`, without antialias."""
    n_classes = _n_classes(tensors)
    if n_classes != N_2015:
        raise ValueError(f"the file has {n_classes} classes, and the network of FID {N_2015}: it is torchvision's")
    around = preprocessing(options, N_CHANNELS)
    return Plan(
        InceptionConfig("fid"), _source, buffers(tensors, "num_batches_tracked"), around, without_resizing(around)
    )


def plan_torchvision(tensors: Tensors, options: Options) -> Plan:
    """inception_v3_google; its `transform_input` undoes ImageNet's normalisation, which is left out here instead.

    The auxiliary head serves its training alone and is not kept.
    """
    n_classes = _n_classes(tensors)
    if n_classes == N_2015:
        raise ValueError(f"the file has {N_2015} classes: it is the network of FID, not torchvision's")
    ignored = buffers(tensors, "num_batches_tracked") + tuple(name for name in tensors if name.startswith("AuxLogits."))
    around = preprocessing(options, N_CHANNELS)
    return Plan(InceptionConfig("torchvision", n_classes), _source, ignored, around, without_resizing(around))


def _n_classes(tensors: Tensors) -> int:
    shape_of(tensors, FIRST)
    return shape_of(tensors, "fc.weight")[0]


def _source(key: str) -> TensorSource:
    *path, leaf = key.split("/")
    if path == ["head"]:
        return torch_source("fc", leaf)
    return torch_source(".".join([*path[1:-1], LEAVES[path[-1]]]), leaf)


FID_INCEPTION = Family(
    name="fid-inception",
    checkpoints="pytorch-fid pt_inception-2015-12-05-6726825d.pth",
    purpose="the features that published FID and KID are measured with",
    licence="Apache-2.0",
    plan=plan_fid,
    options=settings(Preprocessing((0.5,), (0.5,), 299, antialias=False)),
)
TORCHVISION_INCEPTION = Family(
    name="torchvision-inception",
    checkpoints="torchvision inception_v3_google",
    purpose="an ImageNet classifier, and features near those of FID but not equal to them",
    licence="BSD-3-Clause (code; the weights' own is unstated)",
    plan=plan_torchvision,
    options=settings(Preprocessing((0.5,), (0.5,), 299)),
)
