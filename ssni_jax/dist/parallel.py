"""Running a function of rows on every device at once, each on its own rows and with no communication."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec


def by_rows(mesh: Mesh, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function(whole, *rows)` with `whole` on every device and every array of `rows` and of the result split in rows.

    A value in `whole` with a method `specs` says itself how its arrays are divided, and collects them.
    Each device runs its own loops to their own length, which partitioning by jit could not: a loop over all rows
    ends when the slowest device does.
    """
    split = PartitionSpec("data")

    def run(whole: Any, *rows: Any) -> Any:
        places = jax.tree.map(_specs_of, whole, is_leaf=_has_specs)
        specs = (places, *(split for _ in rows))
        return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)(whole, *rows)

    return run


def _has_specs(node: Any) -> bool:
    return hasattr(node, "specs")


def _specs_of(node: Any) -> Any:
    return node.specs() if _has_specs(node) else PartitionSpec()
