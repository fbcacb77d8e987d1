"""One training step as a pure function."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key

from ssni_jax.core.protocols import Loss
from ssni_jax.core.rng import sample_keys
from ssni_jax.core.types import Keys, Tree
from ssni_jax.dist import global_rows
from ssni_jax.training.state import TrainState

Batch = Mapping[str, Array]
Metrics = dict[str, Float[Array, ""]]
StepFn = Callable[[TrainState, Keys, Batch], tuple[TrainState, Metrics]]


def make_train_step(
    loss: Loss, graphdef: nnx.GraphDef, tx: optax.GradientTransformation, ema_decay: float, n_accumulate: int = 1
) -> StepFn:
    """A step of `tx` on `loss`; `n_accumulate` micro-batches of a batch are worth the batch, in less memory.

    Metrics are the loss's own, `loss` and `gradient_norm` (before clipping).
    """

    def objective(params, rest, keys, batch):
        model = nnx.merge(graphdef, params, rest, copy=True)  # batch statistics move only in variables of this trace
        value, metrics = loss(model, keys, batch)
        _, _, rest = nnx.split(model, nnx.Param, ...)
        return value, (rest, {**metrics, "loss": value})

    def step(state: TrainState, keys: Keys, batch: Batch) -> tuple[TrainState, Metrics]:
        gradient, rest, metrics = accumulated(jax.grad(objective, has_aux=True), state, keys, batch, n_accumulate)
        updates, opt_state = tx.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = moved_average(state.ema, params, state.step, ema_decay)
        metrics = {**metrics, "gradient_norm": optax.tree.norm(gradient)}
        return TrainState(params, rest, ema, opt_state, state.step + 1), metrics

    return step


def accumulated(
    gradient_of: Callable, state: TrainState, keys: Keys, batch: Batch, n: int
) -> tuple[Tree, Tree, Metrics]:
    """Gradient and metrics averaged over `n` micro-batches in turn, and the module's other state after the last."""
    if n == 1:
        gradient, (rest, metrics) = gradient_of(state.params, state.rest, keys, dict(batch))
        return gradient, rest, metrics
    if keys.shape[0] % n:
        raise ValueError(f"n_accumulate={n} does not divide the {keys.shape[0]} rows of the batch; choose a divisor.")

    def body(rest, part):
        gradient, (rest, metrics) = gradient_of(state.params, rest, *part)
        return rest, (gradient, metrics)

    # Row i goes to micro-batch i mod n, so that rows split over devices stay where they are.
    parts = jax.tree.map(lambda v: jnp.swapaxes(v.reshape(-1, n, *v.shape[1:]), 0, 1), (keys, dict(batch)))
    return _mean_of_scan(body, state.rest, parts)


def _mean_of_scan(body: Callable, rest: Tree, parts: Tree) -> tuple[Tree, Tree, Metrics]:
    """The running sum keeps one gradient in memory, where stacking would keep one a micro-batch."""
    n = jax.tree.leaves(parts)[0].shape[0]
    shapes = jax.eval_shape(lambda: body(rest, jax.tree.map(lambda v: v[0], parts))[1])
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    def add(carry, part):
        rest, value = body(carry[0], part)
        return (rest, jax.tree.map(jnp.add, carry[1], value)), None

    (rest, total), _ = jax.lax.scan(add, (rest, zeros), parts)
    gradient, metrics = jax.tree.map(lambda v: v / n, total)
    return gradient, rest, metrics


def moved_average(ema: Tree, params: Tree, step: Int[Array, ""], decay: float) -> Tree:
    """Exponential average with warm-up, min(decay, (1 + step) / (10 + step)); early averages forget the start."""
    rate = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda average, value: (rate * average + (1 - rate) * value).astype(average.dtype), ema, params)


def row_keys(root: Key[Array, ""], step: Int[Array, ""], n_rows: int) -> Keys:
    """Key of each row of global batch number `step`: fold_in(fold_in(root, step), row), which cannot overflow."""
    return sample_keys(jax.random.fold_in(root, step), jnp.arange(n_rows))


def compile_step(
    step: StepFn, root: Key[Array, ""], mesh: Mesh | None = None, like: TrainState | None = None
) -> Callable[[TrainState, Mapping], tuple[TrainState, Metrics]]:
    """`step` jitted, its state donated and its keys those of (root, state.step, row).

    With a mesh a batch holds this process's rows; `like` fixes where the state lives, for a state that is sharded.
    """

    def run(state, root, batch):
        return step(state, row_keys(root, state.step, batch["image"].shape[0]), batch)

    place = None if like is None else (jax.tree.map(lambda leaf: leaf.sharding, like), None)
    jitted = jax.jit(run, donate_argnums=0, out_shardings=place)
    return lambda state, batch: jitted(state, root, batch if mesh is None else global_rows(mesh, batch))
