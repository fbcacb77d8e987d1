"""Which files a network was converted from, as its JSON records them."""

import hashlib
from pathlib import Path
from typing import Any

from ssni_jax.convert.reading import shards
from ssni_jax.convert.store import sha256_of


def file_facts(file: Path, backbone: Path | None = None) -> dict[str, Any]:
    """Name and sha256 of a checkpoint; with shards also of each file, and of `backbone`, a second checkpoint.

    The sha256 of several files is that of their list as `sha256sum` prints it, the index first.
    """
    hashes = {path.name: sha256_of(path) for path in shards.files_of(file)}
    facts: dict[str, Any] = {"file": file.name, "sha256": next(iter(hashes.values()))}
    if len(hashes) > 1:
        lines = "".join(f"{digest}  {name}\n" for name, digest in hashes.items())
        facts |= {"sha256": hashlib.sha256(lines.encode()).hexdigest(), "files": hashes}
    return facts if backbone is None else {**facts, "backbone": file_facts(backbone)}
