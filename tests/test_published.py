"""The published training recipes trace from shapes alone: a step of each at its real size, with no weights at hand."""

import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from ssni_jax.networks import EdmCoefficients, LpipsConfig, Network, Preconditioned, abstract, make_rngs, n_params
from ssni_jax.networks.precondition import ConsistencyCoefficients
from ssni_jax.training import has_target, make_state, make_train_step
from ssni_jax.zoo import Pretrained

CONFIGS = Path(__file__).parent.parent / "configs"
PARAMETERS = {  # millions: the sizes that the papers' checkpoints have
    "distil_cifar10": 56,
    "train_ct_cifar10": 56,
    "train_ict_cifar10": 56,
    "tune_cifar10": 56,
    "finetune_cifar10": 56,
    "distil_imagenet64": 296,
    "finetune_imagenet64": 296,
}


def shapes_of(stored, network):
    """The network that a `Pretrained` stands for, as shapes: LPIPS by its name, else a denoiser of this recipe's."""
    if not isinstance(stored, Pretrained):
        return stored
    if "lpips" in stored.name:
        return Network(*abstract(LpipsConfig("vgg").make))
    around = EdmCoefficients() if "edm" in stored.name else ConsistencyCoefficients()
    return Preconditioned(Network(*abstract(network.make)), around)


@pytest.mark.slow
@pytest.mark.parametrize("name", PARAMETERS)
def test_a_published_recipe_traces_at_its_size(name, data_of_configs):
    experiment = runpy.run_path(str(CONFIGS / f"{name}.py"))["experiment"]
    network, n = experiment.network, 4
    loss = jax.tree.map(lambda leaf: shapes_of(leaf, network), experiment.loss)
    tx = experiment.optimizer.transform(experiment.n_steps)
    graphdef = abstract(network.make)[0]

    def step(loss, keys, image, label):
        _, state = make_state(network.make(rngs=make_rngs(jax.random.key(0))), tx, has_target(loss))
        done = make_train_step(loss, graphdef, tx, experiment.ema_decay, n_steps=experiment.n_steps)
        return done(state, keys, {"image": image, "label": label})

    image = jax.ShapeDtypeStruct((n, network.resolution, network.resolution, 3), jnp.float32)
    label = jax.ShapeDtypeStruct((n,), jnp.int32)
    state, metrics = jax.eval_shape(
        step, loss, jax.eval_shape(lambda: jax.random.split(jax.random.key(0), n)), image, label
    )
    assert round(n_params(state.params) / 1e6) == PARAMETERS[name]
    assert metrics["loss"].shape == () and all(leaf.dtype != jnp.bfloat16 for leaf in jax.tree.leaves(state))
