"""A classifier of your own as a predictor: resnet2b.pth of VNN-COMP 2021, published with 69.25 % clean accuracy."""

from pathlib import Path

import jax
import jax.numpy as jnp

from ssni_jax.attacks import Linf, Pgd
from ssni_jax.convert import read_checkpoint
from ssni_jax.data import Npz
from ssni_jax.experiments import Evaluation
from ssni_jax.purify import predictor

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
ATTACK = Pgd(Linf(2 / 255), step_size=0.5 / 255, n_steps=100, random_start=True, n_restarts=5, keep="best")


def resnet2b(weights, x):
    x = jax.nn.relu(conv(weights, "conv1", (x - jnp.array(MEAN)) / jnp.array(STD), 2))
    for block, stride in (("layer1.0", 2), ("layer1.1", 1)):
        inner = conv(weights, f"{block}.conv2", jax.nn.relu(conv(weights, f"{block}.conv1", x, stride)))
        x = jax.nn.relu(inner + (x if stride == 1 else conv(weights, f"{block}.shortcut.0", x, stride)))
    x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)  # PyTorch flattens channels first
    return linear(weights, "linear2", jax.nn.relu(linear(weights, "linear1", x)))


def conv(weights, name, x, stride=1):
    kernel, pad = weights[f"{name}.weight"], weights[f"{name}.weight"].shape[2] // 2
    layout = ("NHWC", "OIHW", "NHWC")
    y = jax.lax.conv_general_dilated(x, kernel, (stride, stride), [(pad, pad)] * 2, dimension_numbers=layout)
    return y + weights[f"{name}.bias"]


def linear(weights, name, x):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


weights = read_checkpoint(Path("data/vnncomp_resnet2b.pth"))["state_dict"]
predict = predictor(jax.tree_util.Partial(resnet2b, weights))  # the weights stay arguments of compiled programs
experiment = Evaluation("ResNet-2B", predict, Npz("data/cifar10/cifar10_test.npz"), attack=None, batch_size=500)
