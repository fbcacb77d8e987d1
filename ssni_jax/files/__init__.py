"""Files on disk: the one atomic write, leases and locks."""

from ssni_jax.files.atomic import (
    create_bytes,
    parse_json,
    plain,
    read_arrays,
    read_json,
    write_arrays,
    write_bytes,
    write_json,
)
from ssni_jax.files.lease import Lease, lock
from ssni_jax.files.names import check_file_name

__all__ = [
    "Lease",
    "check_file_name",
    "create_bytes",
    "lock",
    "parse_json",
    "plain",
    "read_arrays",
    "read_json",
    "write_arrays",
    "write_bytes",
    "write_json",
]
