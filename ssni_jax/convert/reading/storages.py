"""The storages that a file of PyTorch's keeps beside its pickle, asked for by persistent ids."""

from collections.abc import Callable
from typing import Any

from ssni_jax.convert.reading.errors import CheckpointError, damaged, shown
from ssni_jax.convert.reading.tensors import Place, Storage, are_sizes
from ssni_jax.convert.reading.vocabulary import StorageType


class Storages:
    """Every storage asked for so far, by key; `locate` finds the bytes of a new one, or leaves them for later."""

    def __init__(self, locate: Callable[[str], Place]):
        self.locate = locate
        self.found: dict[str, Storage] = {}

    def __call__(self, pid: Any) -> Storage:
        """The storage of ("storage", type, key, device, numel), or the part of it that a sixth entry describes."""
        kind, key, numel, view = _parts(pid)
        if key not in self.found:
            self.found[key] = Storage(kind.element, numel, self.locate(key))
        known = self.found[key]
        if (known.element, known.numel) != (kind.element, numel):
            raise damaged(f"the storage {shown(key)} is described in two ways")
        return known if view is None else known.part(*_view(view))


def _parts(pid: Any) -> tuple[StorageType, str, int, Any]:
    if isinstance(pid, tuple) and pid and pid[0] == "module":
        raise CheckpointError(
            "holds whole modules with their code: load it where it was made and save its state_dict() instead, "
            "torch.save(model.state_dict(), 'weights.pth')"
        )
    if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
        raise damaged("a persistent id is no storage")
    _, kind, key, _, numel, *view = pid
    if not isinstance(kind, StorageType) or not isinstance(key, str) or not are_sizes(numel):
        raise damaged("a storage has no type, no key or no size")
    return kind, key, numel, view[0] if view else None


def _view(view: Any) -> tuple[Any, Any]:
    if not isinstance(view, tuple) or len(view) != 3:
        raise damaged("a view of a storage is not described by a key, an offset and a size")
    return view[1:]
