"""A network that computes in bfloat16 is trained in float32."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from ssni_jax.core.rng import sample_keys
from ssni_jax.networks import EdmCoefficients, SongUNetConfig, make_rngs
from ssni_jax.training import Adam, DenoisingLoss, make_train_step
from ssni_jax.training.state import make_state

NETWORK = SongUNetConfig(
    resolution=8, in_channels=1, out_channels=1, model_channels=8, channel_mult=(1,), num_blocks=1, attn_resolutions=()
)


def step_of(network, optimizer=Adam()):
    """A training step, and shapes and types of what it is called with."""
    tx = optimizer.transform(10)
    module = lambda: network.make(rngs=make_rngs(jax.random.key(0)))  # noqa: E731
    state = jax.eval_shape(lambda: make_state(module(), tx)[1])
    graphdef = nnx.graphdef(nnx.eval_shape(module))
    keys = jax.eval_shape(lambda: sample_keys(jax.random.key(0), jnp.arange(4)))
    batch = {"image": jax.ShapeDtypeStruct((4, 8, 8, 1), jnp.float32)}
    return make_train_step(DenoisingLoss(EdmCoefficients()), graphdef, tx, 0.9), (state, keys, batch)


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "bfloat16"])
def test_parameters_averages_optimiser_and_metrics_are_float32_in_either_type(dtype):
    step, arguments = step_of(dataclasses.replace(NETWORK, dtype=dtype))
    program, (after, metrics) = jax.make_jaxpr(step, return_shape=True)(*arguments)
    leaves = [leaf for leaf in jax.tree.leaves((after, metrics)) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    assert len(leaves) > 100 and {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
    convolutions = [line for line in str(program).splitlines() if "conv_general" in line]
    assert convolutions and all(("bf16[" in line) == (dtype == "bfloat16") for line in convolutions)
