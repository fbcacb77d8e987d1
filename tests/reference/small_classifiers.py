"""Classifiers of the robustness literature that are no part of the package, from tensors under their PyTorch names.

The architectures are those that alpha-beta-CROWN and VNN-COMP 2021 publish with their weights.
"""

import jax
import jax.numpy as jnp

LAYOUT = ("NHWC", "OIHW", "NHWC")
BLOCKS_2B = (("layer1.0", 2), ("layer1.1", 1))
BLOCKS_4B = (*BLOCKS_2B, ("layer2.0", 2), ("layer2.1", 1))


def cnn_a(weights, x):
    """Two 4x4 convolutions of stride 2 and two linear layers; a PyTorch Sequential."""
    for name in ("0", "2"):
        x = jax.nn.relu(conv(weights, name, x, stride=2, padding=1))
    return linear(weights, "7", jax.nn.relu(linear(weights, "5", flat(x))))


def resnet2b(weights, x):
    return resnet(weights, x, BLOCKS_2B)


def resnet4b(weights, x):
    return resnet(weights, x, BLOCKS_4B)


def resnet(weights, x, blocks):
    """Basic blocks without batch norm; a block that strides has a convolution as its shortcut."""
    x = jax.nn.relu(conv(weights, "conv1", x, stride=2, padding=1))
    for block, stride in blocks:
        inner = jax.nn.relu(conv(weights, f"{block}.conv1", x, stride, padding=1))
        inner = conv(weights, f"{block}.conv2", inner, stride=1, padding=1)
        x = jax.nn.relu(inner + shortcut(weights, block, x, stride))
    return linear(weights, "linear2", jax.nn.relu(linear(weights, "linear1", flat(x))))


def shortcut(weights, block, x, stride):
    name = f"{block}.shortcut.0"
    if f"{name}.weight" not in weights:
        return x
    return conv(weights, name, x, stride, padding=weights[f"{name}.weight"].shape[2] // 2)


def conv(weights, name, x, stride, padding):
    kernel, pads = weights[f"{name}.weight"], [(padding, padding)] * 2
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=LAYOUT) + bias(
        weights, name
    )


def linear(weights, name, x):
    return x @ weights[f"{name}.weight"].T + bias(weights, name)


def bias(weights, name):
    return weights.get(f"{name}.bias", jnp.zeros(()))


def flat(x):
    """PyTorch flattens channels first."""
    return x.transpose(0, 3, 1, 2).reshape(len(x), -1)


FUNCTIONS = {"cnn_a": cnn_a, "resnet2b": resnet2b, "resnet4b": resnet4b}


def function_named(name):
    """The classifier of a name such as "vnncomp_resnet2b"; None for one of the package's families."""
    return FUNCTIONS.get(name.removeprefix("vnncomp_"))
