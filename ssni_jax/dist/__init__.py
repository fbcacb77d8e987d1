"""Meshes, shardings and processes."""

from ssni_jax.dist.arrays import global_rows, local_rows, on_every_host
from ssni_jax.dist.mesh import make_mesh, rows, sharded_over_data, whole
from ssni_jax.dist.parallel import by_rows
from ssni_jax.dist.processes import any_process, start_processes, wait_for_all

__all__ = [
    "any_process",
    "by_rows",
    "global_rows",
    "local_rows",
    "make_mesh",
    "on_every_host",
    "rows",
    "sharded_over_data",
    "start_processes",
    "wait_for_all",
    "whole",
]
