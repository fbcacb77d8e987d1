"""Convolution with a hand-written gradient, because XLA's own is slow on the CPU inside a loop."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

NHWC = ("NHWC", "HWIO", "NHWC")


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(
    x: Float[Array, "B _h _w _c"], kernel: Float[Array, "_k _l _c _d"], stride: int, padding: int | tuple[int, int]
) -> Float[Array, "B _p _q _d"]:
    """`kernel` [height, width, in, out] over NHWC `x` with `padding` zeros on every side, or (above, beside).

    Inside a `scan`, the gradient that JAX derives keeps a kernel layout for which XLA's CPU backend has no fast
    convolution: 15 times slower on 32 channels. Here the kernel is turned over first, so it is a forward convolution.
    No forward-mode derivative.
    """
    return _convolve(x, kernel, (stride, stride), _both_ends(padding))


def _forward(x, kernel, stride, padding):
    return convolve(x, kernel, stride, padding), (x, kernel)


def _backward(stride, padding, saved, gradient):
    x, kernel = saved
    turned = jnp.swapaxes(jnp.flip(kernel, (0, 1)), 2, 3)
    pads = _both_ends(padding)
    ends = tuple(
        (kernel.shape[i] - 1 - pad, x.shape[i + 1] - (gradient.shape[i + 1] - 1) * stride - 1 + pad)
        for i, (pad, _) in enumerate(pads)
    )
    in_x = _convolve(gradient, turned, (1, 1), ends, (stride, stride))
    (in_kernel,) = jax.vjp(lambda kernel: _convolve(x, kernel, (stride, stride), pads), kernel)[1](gradient)
    return in_x, in_kernel


def _both_ends(padding):
    above, beside = (padding, padding) if isinstance(padding, int) else padding
    return (above, above), (beside, beside)


def _convolve(x, kernel, strides, padding, dilation=(1, 1)):
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, lhs_dilation=dilation, dimension_numbers=NHWC)


convolve.defvjp(_forward, _backward)
