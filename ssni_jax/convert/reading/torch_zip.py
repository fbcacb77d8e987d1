"""PyTorch's format since 1.6: a zip archive with one folder, in it data.pkl and a file a storage, data/<key>."""

import io
import mmap

from ssni_jax.convert.reading.allowance import Allowance
from ssni_jax.convert.reading.errors import CheckpointError, damaged, shown
from ssni_jax.convert.reading.pickles import run
from ssni_jax.convert.reading.storages import Storages
from ssni_jax.convert.reading.tensors import Place
from ssni_jax.convert.reading.zip_archive import Archive
from ssni_jax.core.types import Tree


def read(content: mmap.mmap, allowance: Allowance) -> Tree:
    """The object of the archive's pickle; storages that are stored plainly are not copied."""
    archive = Archive(content, allowance)
    root = _root(archive.names)
    if f"{root}/byteorder" in archive.names and archive.read(f"{root}/byteorder") != b"little":
        raise CheckpointError("was written on a big-endian machine: load it in PyTorch and save it again")

    def locate(key: str) -> Place:
        if f"{root}/data/{key}" not in archive.names:
            raise damaged(f"the storage {shown(key)} is missing in its archive")
        return archive.place(f"{root}/data/{key}")

    storages = Storages(locate)
    found = run(io.BytesIO(archive.read(f"{root}/data.pkl")), allowance, storages)
    _check_sizes(storages, archive, root)
    return found


def _root(names: set[str]) -> str:
    """The archive's one folder, if it is a folder of weights."""
    roots = {name.partition("/")[0] for name in names}
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        raise CheckpointError("is a TorchScript program, not weights: load it in PyTorch and save its state_dict()")
    if names and all(name.endswith(".npy") for name in names):
        raise CheckpointError("is numpy's .npz: it holds arrays without the structure of a checkpoint")
    if "data.pkl" not in inner:
        raise CheckpointError("is a zip archive, but no PyTorch file: unpack it and give the checkpoint inside it")
    if len(roots) != 1:
        raise CheckpointError(f"is a zip archive with {len(roots)} folders, where PyTorch writes one: do not load it")
    return roots.pop()


def _check_sizes(storages: Storages, archive: Archive, root: str) -> None:
    for key, storage in storages.found.items():
        held = archive.size(f"{root}/data/{key}")
        if held != storage.nbytes:
            raise damaged(f"the storage {shown(key)} has {held} bytes where its tensors expect {storage.nbytes}")
