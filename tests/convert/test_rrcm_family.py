"""rRCM's names: the converted network is the one of its equations, pre-trained or fine-tuned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from ssni_jax.convert.families import fitting
from ssni_jax.convert.family import convert
from ssni_jax.convert.rrcm import RRCM
from ssni_jax.networks import Network, abstract, unflat
from ssni_jax.networks.classifier import role_of

WIDTH, MLP, PATCH, SIDE, DEPTH, HIDDEN, OUT = 64, 24, 4, 2, 2, 10, 6
BLOCK = {
    "norm1.weight": (WIDTH,),
    "norm1.bias": (WIDTH,),
    "attn.qkv.weight": (3 * WIDTH, WIDTH),
    "attn.proj.weight": (WIDTH, WIDTH),
    "attn.proj.bias": (WIDTH,),
    "norm2.weight": (WIDTH,),
    "norm2.bias": (WIDTH,),
    "mlp.fc1.weight": (MLP, WIDTH),
    "mlp.fc1.bias": (MLP,),
    "mlp.fc2.weight": (WIDTH, MLP),
    "mlp.fc2.bias": (WIDTH,),
}
BATCH_NORM = {"weight": (HIDDEN,), "bias": (HIDDEN,), "running_mean": (HIDDEN,), "running_var": (HIDDEN,)}
ENCODER = {
    "cls_token": (1, 1, WIDTH),
    "pos_embed": (1, 2 + SIDE**2, WIDTH),
    "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
    "patch_embed.proj.bias": (WIDTH,),
    "norm.weight": (WIDTH,),
    "norm.bias": (WIDTH,),
    "projection_head.0.weight": (HIDDEN, WIDTH),
    "projection_head.3.weight": (HIDDEN, HIDDEN),
    "projection_head.6.weight": (OUT, HIDDEN),
    **{f"projection_head.{place}.{name}": shape for place in (1, 4) for name, shape in BATCH_NORM.items()},
    **{f"blocks.{i}.{name}": shape for i in range(DEPTH) for name, shape in BLOCK.items()},
}
HEAD = {"linear_head.weight": (5, WIDTH), "linear_head.bias": (5,)}
X = jax.random.normal(jax.random.key(0), (2, PATCH * SIDE, PATCH * SIDE, 3))
LABEL = jnp.array([-170.0, 170.0])


def drawn(base=""):
    """Random tensors, gains and variances near one; with a `base` those of a fine-tuned network."""
    shapes = {f"{base}{name}": shape for name, shape in ENCODER.items()} | (HEAD if base else {})
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(0, shape[-1] ** -0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    near_one = ("norm1.weight", "norm2.weight", "norm.weight", "running_var")
    arrays = {name: 1 + abs(array) if name.endswith(near_one) else array for name, array in arrays.items()}
    counters = {f"{base}projection_head.{place}.num_batches_tracked": np.asarray(7) for place in (1, 4)}
    return arrays | counters


def network(converted):
    graphdef, shapes = abstract(converted.config.make)
    return Network(graphdef, unflat(shapes, {name: jnp.asarray(array) for name, array in converted.arrays.items()}))


class Book:
    """The equations of the encoder in float64, on tensors without a base."""

    def __init__(self, tensors, n_heads=1, eps=1e-5):
        self.w = {name: np.asarray(array, np.float64) for name, array in tensors.items()}
        self.n_heads, self.eps = n_heads, eps

    def linear(self, name, x):
        return np.einsum("...i,oi->...o", x, self.w[f"{name}.weight"]) + self.w.get(f"{name}.bias", 0.0)

    def norm(self, name, x):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + self.eps)
        return scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def batch_norm(self, name, x):
        mean, var = self.w[f"{name}.running_mean"], self.w[f"{name}.running_var"]
        return (x - mean) / np.sqrt(var + 1e-5) * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def attention(self, name, x):
        q, k, v = (p.reshape(*x.shape[:2], self.n_heads, -1) for p in np.split(self.linear(f"{name}.qkv", x), 3, -1))
        scores = np.exp(np.einsum("bihc,bjhc->bhij", q, k) / np.sqrt(q.shape[-1]))
        mixed = np.einsum("bhij,bjhc->bihc", scores / scores.sum(-1, keepdims=True), v)
        return self.linear(f"{name}.proj", mixed.reshape(x.shape))

    def token(self):
        squares = np.asarray(X, np.float64).reshape(len(X), SIDE, PATCH, SIDE, PATCH, 3)
        x = np.einsum("bipjqc,ocpq->bijo", squares, self.w["patch_embed.proj.weight"])
        x = (x + self.w["patch_embed.proj.bias"]).reshape(len(X), SIDE**2, WIDTH)
        phase = np.asarray(LABEL)[:, None] * 10000.0 ** (-np.arange(WIDTH // 2) / (WIDTH // 2))
        time = np.concatenate([np.cos(phase), np.sin(phase)], 1)[:, None]
        x = np.concatenate([np.tile(self.w["cls_token"], (len(X), 1, 1)), time, x], 1) + self.w["pos_embed"]
        for block in (f"blocks.{i}" for i in range(DEPTH)):
            x = x + self.attention(f"{block}.attn", self.norm(f"{block}.norm1", x))
            hidden = self.linear(f"{block}.mlp.fc1", self.norm(f"{block}.norm2", x))
            x = x + self.linear(f"{block}.mlp.fc2", hidden * (1 + erf(hidden / np.sqrt(2))) / 2)
        return x[:, 0]

    def projected(self):
        x = self.linear("projection_head.0", self.norm("norm", self.token()))
        x = self.linear("projection_head.3", np.maximum(self.batch_norm("projection_head.1", x), 0))
        return self.linear("projection_head.6", np.maximum(self.batch_norm("projection_head.4", x), 0))


def test_a_pre_trained_encoder_is_the_one_of_its_equations():
    tensors = drawn()
    converted = convert(RRCM, tensors)
    assert converted.config.n_classes == 0 and role_of(converted.config, converted.around) == "conditioning"
    projected = jax.jit(lambda n, *seen: n.method("projected")(*seen))(network(converted), X, LABEL)
    np.testing.assert_allclose(projected, Book(tensors).projected(), atol=2e-4)


@pytest.mark.parametrize("normed", [None, True])
def test_a_fine_tuned_network_has_its_head_before_or_after_the_norm(normed):
    tensors = drawn("base_model.")
    bare = Book({name.removeprefix("base_model."): array for name, array in tensors.items()})
    token = bare.norm("norm", bare.token()) if normed else bare.token()
    options = {} if normed is None else {"layernorm": normed}
    converted = convert(RRCM, tensors, options)
    found = jax.jit(lambda n, *seen: n(*seen))(network(converted), X, LABEL)
    np.testing.assert_allclose(found, bare.linear("linear_head", token), atol=2e-4)
    assert ("layernorm" in converted.assumed) == (normed is None)


@pytest.mark.parametrize("base", ["", "base_model."])
def test_its_names_are_told_from_those_of_other_transformers(base):
    assert fitting({f"module.{name}": array for name, array in drawn(base).items()}) == ["rrcm"]
