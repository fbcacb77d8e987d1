"""Meshes, shardings and processes."""

from ssni_jax.dist.agreement import agree, check_shared, same_everywhere
from ssni_jax.dist.arrays import global_rows, local_rows, on_every_host
from ssni_jax.dist.mesh import make_mesh, rows, sharded_over_data, whole
from ssni_jax.dist.parallel import by_rows
from ssni_jax.dist.processes import start_processes, wait_for_all

__all__ = [
    "agree",
    "by_rows",
    "check_shared",
    "global_rows",
    "local_rows",
    "make_mesh",
    "on_every_host",
    "rows",
    "same_everywhere",
    "sharded_over_data",
    "start_processes",
    "wait_for_all",
    "whole",
]
