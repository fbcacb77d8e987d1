"""One training step as a pure function."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key

from ssni_jax.core.protocols import Loss, StagedLoss, TrainingObjective
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import sample_keys
from ssni_jax.core.types import Keys, Tree
from ssni_jax.dist import global_rows
from ssni_jax.training.state import TrainState

Batch = Mapping[str, Array]
Metrics = dict[str, Float[Array, ""]]
StepFn = Callable[[TrainState, Keys, Batch], tuple[TrainState, Metrics]]


@pytree
class TrainStep:
    """One step of `tx` on `loss`, (state, keys, batch) -> (state, metrics): pure, and jitted once.

    The loss is data: its own networks, such as a teacher or LPIPS, are arguments of the compiled program and not
    constants in it. `n_accumulate` micro-batches of a batch are worth the batch, in less memory. `n_steps` is the
    length of the run, by which losses that change find where they are. Metrics are the loss's own, `loss` and
    `gradient_norm` (before clipping).
    """

    loss: TrainingObjective
    graphdef: Any = static()
    tx: Any = static()
    ema_decay: float = static(default=0.999)
    n_accumulate: int = static(default=1)
    n_steps: int = static(default=1)

    def __call__(self, state: TrainState, keys: Keys, batch: Batch) -> tuple[TrainState, Metrics]:
        gradient_of = jax.grad(self._objective, has_aux=True)
        gradient, rest, metrics = accumulated(gradient_of, state, keys, batch, self.n_accumulate)
        updates, opt_state = self.tx.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = moved_average(state.ema, params, warmed(self.ema_decay, state.step))
        metrics = {**metrics, "gradient_norm": optax.tree.norm(gradient)}
        return TrainState(params, rest, ema, opt_state, state.step + 1, self._target(state, params)), metrics

    def _objective(self, params: Tree, rest: Tree, state: TrainState, keys: Keys, batch: dict[str, Array]):
        model = nnx.merge(
            self.graphdef, params, rest, copy=True
        )  # batch statistics move only in this trace's variables
        value, metrics = self._loss_now(params, rest, state)(model, keys, batch)
        _, _, rest = nnx.split(model, nnx.Param, ...)
        return value, (rest, {**metrics, "loss": value})

    def _loss_now(self, params: Tree, rest: Tree, state: TrainState) -> Loss:
        """The loss at this step; a loss without a target of its own compares with the present parameters, held."""
        if not isinstance(self.loss, StagedLoss):
            return self.loss
        held = jax.lax.stop_gradient(params if state.target is None else state.target)
        return self.loss.at(state.step, self.n_steps, nnx.merge(self.graphdef, held, rest, copy=True))

    def _target(self, state: TrainState, params: Tree) -> Tree:
        if not isinstance(self.loss, StagedLoss):
            return state.target
        decay = self.loss.target_decay(state.step, self.n_steps)
        return state.target if decay is None else moved_average(state.target, params, decay)


def make_train_step(
    loss: TrainingObjective, graphdef: nnx.GraphDef, tx: optax.GradientTransformation, ema_decay: float, **options: int
) -> TrainStep:
    """The step of a training run; `options` are the further fields of TrainStep."""
    return TrainStep(loss, graphdef, tx, ema_decay, **options)


def has_target(loss: TrainingObjective) -> bool:
    """Whether a run of this loss keeps an average of its past to compare with."""
    return isinstance(loss, StagedLoss) and loss.target_decay(jnp.zeros((), jnp.int32), 1) is not None


def accumulated(
    gradient_of: Callable, state: TrainState, keys: Keys, batch: Batch, n: int
) -> tuple[Tree, Tree, Metrics]:
    """Gradient and metrics averaged over `n` micro-batches in turn, and the module's other state after the last."""
    if n == 1:
        gradient, (rest, metrics) = gradient_of(state.params, state.rest, state, keys, dict(batch))
        return gradient, rest, metrics
    if keys.shape[0] % n:
        raise ValueError(f"n_accumulate={n} does not divide the {keys.shape[0]} rows of the batch; choose a divisor.")

    def body(rest, part):
        gradient, (rest, metrics) = gradient_of(state.params, rest, state, *part)
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


def moved_average(average: Tree, params: Tree, decay: float | Float[Array, ""]) -> Tree:
    """decay * average + (1 - decay) * params, in the types of the average."""
    return jax.tree.map(lambda old, new: (decay * old + (1 - decay) * new).astype(old.dtype), average, params)


def warmed(decay: float, step: Int[Array, ""]) -> Float[Array, ""]:
    """min(decay, (1 + step) / (10 + step)): early averages forget the start."""
    return jnp.minimum(decay, (1.0 + step) / (10.0 + step))


def row_keys(root: Key[Array, ""], step: Int[Array, ""], n_rows: int) -> Keys:
    """Key of each row of global batch number `step`: fold_in(fold_in(root, step), row), which cannot overflow."""
    return sample_keys(jax.random.fold_in(root, step), jnp.arange(n_rows))


def compile_step(
    step: TrainStep, root: Key[Array, ""], mesh: Mesh | None = None, like: TrainState | None = None
) -> Callable[[TrainState, Mapping], tuple[TrainState, Metrics]]:
    """`step` jitted, its state donated and its keys those of (root, state.step, row).

    With a mesh a batch holds this process's rows; `like` fixes where the state lives, for a state that is sharded.
    """
    jitted = step_program(like)
    return lambda state, batch: jitted(state, step, root, batch if mesh is None else global_rows(mesh, batch))


def step_program(like: TrainState | None = None) -> Any:
    """The jitted (state, step, root, batch) -> (state, metrics) of `compile_step`."""

    def run(state, step, root, batch):
        return step(state, row_keys(root, state.step, batch["image"].shape[0]), batch)

    place = None if like is None else (jax.tree.map(lambda leaf: leaf.sharding, like), None)
    return jax.jit(run, donate_argnums=0, out_shardings=place)
