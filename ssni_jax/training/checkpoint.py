"""Saving and restoring a run; the only module that knows orbax."""

from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
from orbax.checkpoint import v1 as ocp

from ssni_jax.core.types import Tree

T = TypeVar("T")


@runtime_checkable
class Resumable(Protocol):
    """An iterator of batches that can say where it is and go back there."""

    def get_state(self) -> Any: ...

    def set_state(self, state: Any) -> None: ...


class Checkpoints:
    """The checkpoints of one run in a directory, saved in the background, the last `keep` of them kept.

    A save becomes visible only when it is complete, so a killed one leaves its predecessor the latest.
    """

    def __init__(self, directory: str | Path, keep: int = 2):
        policy: Any = ocp.training.preservation_policies.LatestN(keep)
        self.directory = Path(directory).absolute()
        self._steps = ocp.training.Checkpointer(str(self.directory), preservation_policy=policy)

    @property
    def latest(self) -> int | None:
        """The newest complete step; a save under way is waited for."""
        self.wait()
        return None if self._steps.latest is None else self._steps.latest.step

    def save(self, step: int, state: Tree, batches: Resumable | None = None) -> None:
        """Begins saving `state`, and where `batches` stands, as number `step`; a step already saved is left alone."""
        latest = self.latest  # waits, because orbax drops a save that comes while another is under way
        if latest is not None and step <= latest:
            return
        position = None if batches is None else batches.get_state()
        self._steps.save_async(step, named_leaves(state), custom_metadata={"batches": position})

    def restore(self, like: T, batches: Resumable | None = None) -> T:
        """The newest state in the shapes, types and places of `like`, and `batches` moved to where they stood."""
        self.wait()
        found = self._steps.latest
        if found is None:
            raise FileNotFoundError(f"{self.directory} holds no complete checkpoint; start the run without one.")
        wanted = named_leaves(like)
        metadata = self._steps.metadata(found)
        _check(wanted, metadata.metadata, f"{self.directory} step {found.step}")
        leaves = self._steps.load(found, jax.tree.map(_abstract, wanted))
        position: Any = metadata.custom_metadata
        if batches is not None:
            batches.set_state(position["batches"])
        return jax.tree.unflatten(jax.tree.structure(like), list(leaves[name] for name in wanted))

    def resume(self, start: T, batches: Resumable | None = None) -> T:
        """The newest state if there is one, else `start`: the same command begins a run and goes on with it."""
        return start if self.latest is None else self.restore(start, batches)

    def wait(self) -> None:
        """Returns when everything saved is on disk."""
        self._steps.wait()

    def close(self) -> None:
        """Waits, then lets go of the directory."""
        self._steps.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def named_leaves(tree: Tree) -> dict[str, jax.Array]:
    """The arrays of a tree by path, "params/conv/kernel": what is on disk does not depend on any class."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _abstract(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


def _check(wanted: dict[str, jax.Array], found: dict[str, Any], where: str) -> None:
    """One sentence for what orbax would say in pages."""
    for name in wanted.keys() ^ found.keys():
        side = "has no" if name in wanted else "has an unexpected"
        raise ValueError(f"{where} {side} {name}; it is of another network or optimiser: use a fresh directory.")
    for name, leaf in wanted.items():
        if tuple(found[name].shape) != leaf.shape:
            raise ValueError(
                f"{where} holds {name} with shape {tuple(found[name].shape)}, not {leaf.shape};"
                " it is of another network: use a fresh directory."
            )
