"""JAX's coordination service, through which the hosts of a job talk without their devices.

Device collectives will not do for this: on CPUs they fail when one process is 30 s behind the others, which a
compilation easily is, and elsewhere they queue behind the computation in progress.
"""

import itertools
from typing import Any

import jax
from jax._src import distributed  # the service has no public interface
from jax.experimental import multihost_utils

PATIENCE_S = 7 * 24 * 3600  # a lost process ends all others, so only slow ones are ever waited for
_points, _steps = itertools.count(), itertools.count()


def client() -> Any:
    """The connection of this process to the service."""
    return distributed.global_state.client


def is_preempted() -> bool:
    """Whether the service has told of a preemption, at the same call on every process; all must call it equally often.

    It passes on a notice that reached any process, such as a SIGTERM from before this library took the signal.
    """
    try:
        return bool(multihost_utils.reached_preemption_sync_point(next(_steps)))
    except RuntimeError:  # it is switched off
        return False


def is_joined() -> bool:
    """Whether this process has joined others."""
    return jax.distributed.is_initialized() and distributed.global_state.num_processes > 1


def barrier(name: str, seconds: float = PATIENCE_S) -> None:
    """Returns when every process has come to the point `name`, which is used once."""
    client().wait_at_barrier(name, int(seconds * 1000))


def exchanged(value: str | None) -> dict[int, str]:
    """What every process gave, by its number; None gives nothing. All must call it the same number of times."""
    point = f"ssni/point/{next(_points)}"
    if value is not None:
        client().key_value_set(f"{point}/{jax.process_index()}", value)
    barrier(point)
    return {int(key.rpartition("/")[2]): given for key, given in client().key_value_dir_get(point)}
