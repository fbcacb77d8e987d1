"""Vision transformers under three sets of names: the same weights give the same network."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from ssni_jax.convert import hugging_face, timm
from ssni_jax.convert.family import Converted, convert
from ssni_jax.networks import Network, abstract, unflat

WIDTH, MLP, PATCH, SIDE, DEPTH, N_CLASSES = 128, 24, 4, 3, 2, 5
X = jax.random.normal(jax.random.key(0), (2, PATCH * SIDE, PATCH * SIDE, 3))
BLOCK = {
    "norm1.weight": (WIDTH,),
    "norm1.bias": (WIDTH,),
    "attn.qkv.weight": (3 * WIDTH, WIDTH),
    "attn.qkv.bias": (3 * WIDTH,),
    "attn.proj.weight": (WIDTH, WIDTH),
    "attn.proj.bias": (WIDTH,),
    "norm2.weight": (WIDTH,),
    "norm2.bias": (WIDTH,),
    "mlp.fc1.weight": (MLP, WIDTH),
    "mlp.fc1.bias": (MLP,),
    "mlp.fc2.weight": (WIDTH, MLP),
    "mlp.fc2.bias": (WIDTH,),
}
OUTSIDE = {
    "cls_token": (1, 1, WIDTH),
    "pos_embed": (1, 1 + SIDE**2, WIDTH),
    "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
    "patch_embed.proj.bias": (WIDTH,),
    "norm.weight": (WIDTH,),
    "norm.bias": (WIDTH,),
    "head.weight": (N_CLASSES, WIDTH),
    "head.bias": (N_CLASSES,),
}
DISTILLED = {
    "dist_token": (1, 1, WIDTH),
    "pos_embed": (1, 2 + SIDE**2, WIDTH),
    "head_dist.weight": (N_CLASSES, WIDTH),
    "head_dist.bias": (N_CLASSES,),
}
RENAMED = (
    ("cls_token", "vit.embeddings.cls_token"),
    ("pos_embed", "vit.embeddings.position_embeddings"),
    ("patch_embed.proj", "vit.embeddings.patch_embeddings.projection"),
    ("blocks.", "vit.encoder.layer."),
    (".norm1.", ".layernorm_before."),
    (".norm2.", ".layernorm_after."),
    ("attn.proj.", "attention.output.dense."),
    ("mlp.fc1.", "intermediate.dense."),
    ("mlp.fc2.", "output.dense."),
    ("head.", "classifier."),
)


def drawn(**more: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Random tensors under timm's names, with gains near one so that softmax and GELU bend what they are given."""
    rng = np.random.default_rng(0)
    shapes = {**OUTSIDE, **{f"blocks.{i}.{name}": shape for i in range(DEPTH) for name, shape in BLOCK.items()}, **more}
    drawn = {name: rng.normal(0, shape[-1] ** -0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    return {name: array + (array.ndim == 1 and name.endswith(".weight")) for name, array in drawn.items()}


def for_the_hub(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """timm's tensors under the names of `ViTForImageClassification`, q, k and v apart."""
    renamed = {}
    for name, array in tensors.items():
        for old, new in RENAMED:
            name = name.replace(old, new)
        name = re.sub(r"^norm\.", "vit.layernorm.", name)
        parts = np.split(array, 3) if ".attn.qkv." in name else []
        renamed |= {
            name.replace("attn.qkv", f"attention.attention.{part}"): third
            for part, third in zip(("query", "key", "value"), parts, strict=False)
        } or {name: array}
    return renamed


def logits(converted: Converted) -> np.ndarray:
    graphdef, shapes = abstract(converted.config.make)
    arrays = {name: jnp.asarray(array) for name, array in converted.arrays.items()}
    return np.asarray(jax.jit(lambda n, x: n(x))(Network(graphdef, unflat(shapes, arrays)), X))


def by_the_book(tensors: dict[str, np.ndarray], n_heads: int, eps: float) -> np.ndarray:
    """The logits of timm's tensors by the equations of the papers, in float64 and one sum at a time."""
    w = {name: array.astype(np.float64) for name, array in tensors.items()}

    def linear(name, x):
        return np.einsum("...i,oi->...o", x, w[f"{name}.weight"]) + w[f"{name}.bias"]

    def norm(name, x):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def attention(name, x):
        q, k, v = (part.reshape(*x.shape[:2], n_heads, -1) for part in np.split(linear(f"{name}.qkv", x), 3, -1))
        scores = np.exp(np.einsum("bihc,bjhc->bhij", q, k) / np.sqrt(q.shape[-1]))
        mixed = np.einsum("bhij,bjhc->bihc", scores / scores.sum(-1, keepdims=True), v)
        return linear(f"{name}.proj", mixed.reshape(x.shape))

    squares = np.asarray(X, np.float64).reshape(len(X), SIDE, PATCH, SIDE, PATCH, 3)
    embedded = np.einsum("bipjqc,ocpq->bijo", squares, w["patch_embed.proj.weight"]) + w["patch_embed.proj.bias"]
    firsts = [np.tile(w[name], (len(X), 1, 1)) for name in ("cls_token", "dist_token") if name in w]
    x = np.concatenate([*firsts, embedded.reshape(len(X), SIDE**2, WIDTH)], 1) + w["pos_embed"]
    for block in (f"blocks.{i}" for i in range(DEPTH)):
        x = x + attention(f"{block}.attn", norm(f"{block}.norm1", x))
        hidden = linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", x))
        x = x + linear(f"{block}.mlp.fc2", hidden * (1 + erf(hidden / np.sqrt(2))) / 2)
    x = norm("norm", x)
    return (linear("head", x[:, 0]) + linear("head_dist", x[:, 1])) / 2 if len(firsts) > 1 else linear("head", x[:, 0])


@pytest.mark.parametrize("n_heads", [1, 2, 4])
@pytest.mark.parametrize("more", [{}, DISTILLED], ids=["plain", "distilled"])
def test_the_network_is_the_one_of_the_papers(n_heads, more):
    tensors = drawn(**more)
    found = logits(convert(timm.DEIT, tensors, {"num_heads": n_heads, "eps": 1e-2}))
    np.testing.assert_allclose(found, by_the_book(tensors, n_heads, 1e-2), atol=1e-5)


def test_the_shape_is_inferred_from_names_and_sizes():
    config = convert(timm.VIT, drawn()).config
    assert (config.resolution, config.patch, config.in_channels, config.n_classes) == (
        PATCH * SIDE,
        PATCH,
        3,
        N_CLASSES,
    )
    assert (config.width, config.mlp_width, config.depth, config.n_heads) == (WIDTH, MLP, DEPTH, 2)
    assert (config.eps, config.distilled) == (1e-6, False)


def test_the_hubs_names_give_the_network_of_timms_names():
    """Up to the layer norm's eps, in which the two differ."""
    ours, hub = convert(timm.VIT, drawn(), {"eps": 1e-12}), convert(hugging_face.VIT, for_the_hub(drawn()))
    assert ours.config == hub.config
    np.testing.assert_array_equal(logits(ours), logits(hub))
    assert not np.array_equal(logits(ours), logits(convert(timm.VIT, drawn())))


def test_the_first_third_of_a_fused_kernel_is_the_query():
    """Scaling q and unscaling k leaves attention alone; scaling v would not."""
    tensors, scaled = drawn(), drawn()
    for name in scaled:
        if ".attn.qkv." in name:
            scaled[name] = np.concatenate(
                [part * s for part, s in zip(np.split(tensors[name], 3), (8, 1 / 8, 1), strict=True)]
            )
    np.testing.assert_allclose(logits(convert(timm.VIT, tensors)), logits(convert(timm.VIT, scaled)), atol=1e-5)


def test_a_patch_kernel_keeps_rows_columns_and_channels_apart():
    tensors = drawn()
    kernel = convert(timm.VIT, tensors).arrays["embed/kernel"].reshape(PATCH, PATCH, 3, WIDTH)
    np.testing.assert_array_equal(kernel[1, 2, 0], tensors["patch_embed.proj.weight"][:, 0, 1, 2])


def test_a_distilled_deit_keeps_its_second_token_and_head():
    converted = convert(timm.DEIT, drawn(**DISTILLED))
    assert converted.config.distilled and converted.config.resolution == PATCH * SIDE
    assert {"dist", "head_dist/kernel", "head_dist/bias"} <= set(converted.arrays)


def test_the_hubs_pooler_is_ignored():
    pooler = {"vit.pooler.dense.weight": np.zeros((WIDTH, WIDTH), np.float32)}
    pooler |= {"vit.pooler.dense.bias": np.zeros(WIDTH, np.float32)}
    plain, pooled = (convert(hugging_face.VIT, {**for_the_hub(drawn()), **more}) for more in ({}, pooler))
    assert plain.arrays.keys() == pooled.arrays.keys()


@pytest.mark.parametrize(
    ("family", "names", "mean", "interpolation"),
    [
        (timm.VIT, drawn, 0.5, "cubic"),
        (timm.DEIT, drawn, 0.485, "cubic"),
        (hugging_face.VIT, lambda: for_the_hub(drawn()), 0.5, "linear"),
        (hugging_face.DEIT, lambda: for_the_hub(drawn()), 0.485, "cubic"),
    ],
)
def test_each_kind_of_checkpoint_brings_its_preprocessing(family, names, mean, interpolation):
    around = convert(family, names()).around
    assert (around.mean[0], around.size, around.interpolation) == (mean, PATCH * SIDE, interpolation)


@pytest.mark.parametrize(("family", "heads"), [(timm.VIT, "num_heads"), (hugging_face.VIT, "num_attention_heads")])
def test_the_size_is_read_and_the_heads_are_assumed(family, heads):
    tensors = drawn() if family is timm.VIT else for_the_hub(drawn())
    assumed = convert(family, tensors).assumed
    assert assumed[heads] == 2 and "input_size" not in assumed and {"mean", "std", "interpolation"} <= set(assumed)
    assert heads not in convert(family, tensors, {heads: 1}).assumed


def test_a_vit_takes_images_of_its_own_size_only():
    size = PATCH * SIDE
    around = convert(timm.VIT, drawn(), {"input_size": 16, "crop": size}).around
    assert (around.size, around.crop) == (16, size)
    for options in ({"input_size": 16}, {"crop": size - 1}, {"input_size": 20, "crop": 16}):
        with pytest.raises(ValueError, match=f"would reach a network that takes {size} x {size}: set crop={size}"):
            convert(timm.VIT, drawn(), options)


def test_heads_have_64_channels_unless_given():
    one, two = (convert(timm.VIT, drawn(), {"num_heads": n}) for n in (1, None))
    assert (one.config.n_heads, two.config.n_heads) == (1, 2)
    assert not np.allclose(logits(one), logits(two), atol=1e-4)


def test_every_tensor_is_accounted_for():
    tensors = drawn(**{"blocks.0.ls1.gamma": (WIDTH,), "blocks.1.mlp.fc2.weight": (WIDTH, MLP + 1)})
    del tensors["norm.bias"]
    with pytest.raises(ValueError) as caught:
        convert(timm.VIT, tensors)
    for problem in (
        "1 missing: norm.bias",
        "1 unexpected: blocks.0.ls1.gamma",
        f"1 mis-shaped: blocks.1.mlp.fc2.weight [{WIDTH}, {MLP + 1}]",
    ):
        assert problem in str(caught.value)


def test_positions_that_are_no_square_are_refused():
    with pytest.raises(ValueError, match="9 positions are no square of patches and a class token"):
        convert(timm.DEIT, drawn(pos_embed=(1, SIDE**2, WIDTH)))


@pytest.mark.parametrize("family", [timm.VIT, timm.DEIT])
def test_another_familys_names_are_refused_in_a_sentence(family):
    with pytest.raises(ValueError, match=r"the file has no patch_embed.proj.weight .*choose the family"):
        convert(family, for_the_hub(drawn()))
