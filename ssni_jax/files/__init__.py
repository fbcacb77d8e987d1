"""Files on disk: the one atomic write, leases and locks."""

from ssni_jax.files.atomic import create_bytes, plain, read_json, write_arrays, write_bytes, write_json
from ssni_jax.files.lease import Lease, lock

__all__ = ["Lease", "create_bytes", "lock", "plain", "read_json", "write_arrays", "write_bytes", "write_json"]
