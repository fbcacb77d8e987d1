"""Laws of Inception v3; tests/reference holds its values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ssni_jax.networks import InceptionConfig, abstract, n_params
from ssni_jax.networks.inception import (
    LAYOUTS,
    ConvolutionUnit,
    Fork,
    Pool,
    follow,
    largest,
    mean_inside,
    mean_with_zeros,
    units_of,
)

X = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))


def neighbours(x, i, j):
    """The pixels inside the map of the 3x3 around (i, j)."""
    return np.asarray(x)[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]


@pytest.mark.parametrize(("i", "j"), [(0, 0), (0, 3), (4, 5), (2, 2)])
def test_the_three_poolings_differ_in_what_they_make_of_the_border(i, j):
    inside = neighbours(X, i, j)
    np.testing.assert_allclose(mean_inside(X, 1)[:, i, j], inside.mean((1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(mean_with_zeros(X, 1)[:, i, j], inside.sum((1, 2)) / 9, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(largest(X, 1)[:, i, j], inside.max((1, 2)))


def test_a_pool_of_stride_two_reads_whole_windows_only():
    down = largest(X, 2)
    assert down.shape == (2, 2, 2, 3)
    np.testing.assert_array_equal(down[:, 1, 1], neighbours(X, 3, 3).max((1, 2)))


def test_a_branch_forks_and_joins():
    branch = (
        Pool(mean_inside),
        ConvolutionUnit("a", 4),
        Fork((ConvolutionUnit("b", 2, (1, 3)), ConvolutionUnit("c", 5, (3, 1)))),
    )
    units, n = units_of((branch, (ConvolutionUnit("d", 1),)), 3, InceptionConfig(), nnx.Rngs(0))
    assert n == 2 + 5 + 1
    a = units["a"](mean_inside(X, 1))
    np.testing.assert_allclose(follow(branch, units, X), jnp.concatenate([units["b"](a), units["c"](a)], -1), rtol=1e-5)


def test_fid_pools_the_last_block_by_the_maximum_and_torchvision_no_block():
    pools = {
        variant: [step.reduce for block in blocks.values() for step in block[-1] if isinstance(step, Pool)]
        for variant, blocks in LAYOUTS.items()
    }
    inner = [mean_inside] * 3 + [largest] + [mean_inside] * 4 + [largest] + [mean_inside]
    assert pools["fid"] == [*inner, largest]
    assert pools["torchvision"] == [
        *(mean_with_zeros if each is mean_inside else each for each in inner),
        mean_with_zeros,
    ]


@pytest.fixture(scope="module")
def shapes():
    return abstract(InceptionConfig("torchvision", 1000).make)


def test_it_has_the_published_size(shapes):
    """Torchvision's 27,161,264 without its auxiliary head's 3,326,696."""
    assert n_params(shapes[1]) == 27_161_264 - 3_326_696


def test_taps_and_features_have_the_papers_sizes(shapes):
    graphdef, state = shapes
    run = lambda state, x, name: getattr(nnx.merge(graphdef, state), name)(x)  # noqa: E731
    x = jax.ShapeDtypeStruct((2, 299, 299, 3), jnp.float32)
    taps = jax.eval_shape(lambda state, x: run(state, x, "taps"), state, x)
    sizes = [(35, 256), (35, 288), (35, 288), (17, 768), *[(17, 768)] * 4, (8, 1280), (8, 2048), (8, 2048)]
    assert [tap.shape for tap in taps] == [(2, size, size, n) for size, n in sizes]
    assert jax.eval_shape(lambda state, x: run(state, x, "penultimate"), state, x).shape == (2, 2048)
    small = jax.ShapeDtypeStruct((2, 74, 299, 3), jnp.float32)
    with pytest.raises(ValueError, match="Inception cannot see images of 74 x 299: resize them to 299"):
        jax.eval_shape(lambda state, x: run(state, x, "__call__"), state, small)


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="variant is 'tf', but it must be one of fid, torchvision"):
        InceptionConfig("tf")
