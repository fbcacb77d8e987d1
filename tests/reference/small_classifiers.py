"""Classifiers of the robustness literature that are no part of the package, from tensors under their PyTorch names.

The architectures are those that alpha-beta-CROWN and VNN-COMP 2021 publish with their weights. Which one a file holds
follows from its tensors: a numbered Sequential is CNN-A, named layers with biases and without batch norm a ResNet.
"""

import re

import jax
import jax.numpy as jnp

LAYOUT = ("NHWC", "OIHW", "NHWC")


def small_classifier(weights):
    """The function `(weights, normalised images) -> logits` that these tensors belong to; None for other networks."""
    if set(weights) == {f"{layer}.{leaf}" for layer in (0, 2, 5, 7) for leaf in ("weight", "bias")}:
        return cnn_a
    has_norms = any("running_mean" in name for name in weights)
    return None if has_norms or not {"conv1.bias", "linear2.weight"} <= set(weights) else resnet_b


def cnn_a(weights, x):
    """Two 4x4 convolutions of stride 2 and two linear layers; a PyTorch Sequential."""
    for name in ("0", "2"):
        x = jax.nn.relu(conv(weights, name, x, stride=2, padding=1))
    return linear(weights, "7", jax.nn.relu(linear(weights, "5", flat(x))))


def resnet_b(weights, x):
    """ResNet-2B and -4B: basic blocks without batch norm, of stride 2 where the shortcut is a convolution."""
    x = jax.nn.relu(conv(weights, "conv1", x, stride=2, padding=1))
    for block in blocks(weights):
        stride = 2 if f"{block}.shortcut.0.weight" in weights else 1
        inner = jax.nn.relu(conv(weights, f"{block}.conv1", x, stride, padding=1))
        inner = conv(weights, f"{block}.conv2", inner, stride=1, padding=1)
        x = jax.nn.relu(inner + (x if stride == 1 else conv(weights, f"{block}.shortcut.0", x, stride, padding=0)))
    return linear(weights, "linear2", jax.nn.relu(linear(weights, "linear1", flat(x))))


def blocks(weights):
    """The names of the blocks in the order of their numbers, such as "layer1.0"."""
    return sorted({match[0] for name in weights if (match := re.match(r"layer\d\.\d", name))})


def conv(weights, name, x, stride, padding):
    kernel, pads = weights[f"{name}.weight"], [(padding, padding)] * 2
    y = jax.lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=LAYOUT)
    return y + weights.get(f"{name}.bias", 0.0)


def linear(weights, name, x):
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0.0)


def flat(x):
    """PyTorch flattens channels first."""
    return jnp.reshape(x.transpose(0, 3, 1, 2), (len(x), -1))
