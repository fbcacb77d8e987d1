"""Row arithmetic and functions that stay differentiable at zero."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from ssni_jax.core.types import Images, Level, Rows, State, Tree


def over(v: Shaped[Array, " B"], x: Rows) -> Rows:
    """`v` [B] shaped to broadcast over the trailing axes of `x` [B, ...]; the only broadcast of a per-sample level."""
    return jnp.reshape(v, v.shape + (1,) * (x.ndim - 1))


def take_rows(state: State, index: Int[Array, " S"]) -> Tree:
    """Those rows of every array."""
    return jax.tree.map(lambda v: v[index], state)


def choose_rows(mask: Bool[Array, " B"], chosen: State, otherwise: State) -> State:
    """The rows of `chosen` where the mask is true, of `otherwise` elsewhere."""
    return jax.tree.map(lambda a, b: jnp.where(over(mask, a), a, b), chosen, otherwise)


def safe_sqrt(v: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """sqrt whose gradient at zero is zero instead of infinite; NaN stays NaN."""
    zero = v == 0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, v)))


def row_norm(x: Float[Array, "B ..."]) -> Level:
    """Euclidean norm of each row, with gradient zero at a zero row."""
    return safe_sqrt(jnp.sum(jnp.square(x), axis=tuple(range(1, x.ndim))))


def to_diffusion_range(x: Images) -> Images:
    """[0, 1] to [-1, 1]."""
    return 2 * x - 1


def to_unit_range(x: Images) -> Images:
    """[-1, 1] to [0, 1]."""
    return (x + 1) / 2
