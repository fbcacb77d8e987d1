"""The loop: what varies between runs is in the step, the batches and the hooks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack

from ssni_jax.training.state import TrainState
from ssni_jax.training.step import Metrics

Hook = Callable[[int, TrainState, Metrics], None]


def train(
    state: TrainState,
    step: Callable[[TrainState, Mapping], tuple[TrainState, Metrics]],
    batches: Iterator[Mapping],
    *,
    n_steps: int,
    hooks: Sequence[Hook] = (),
) -> TrainState:
    """`state` after step number `n_steps`, going on from the steps it has already done.

    Nothing here waits for the device: a hook that reads a metric waits, so hooks read only every so many steps.
    A hook that is a context manager is entered for the length of the run. `step` may donate its state, so a hook must
    not keep the one it is shown.
    """
    with ExitStack() as run:
        for hook in hooks:
            if isinstance(hook, AbstractContextManager):
                run.enter_context(hook)
        for n in range(int(state.step) + 1, n_steps + 1):
            state, metrics = step(state, next(batches))
            for hook in hooks:
                hook(n, state, metrics)
    return state
