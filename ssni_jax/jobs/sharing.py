"""Which images of a run are one process's, where several that know nothing of each other work on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ssni_jax.experiments.automatic import AUTO
from ssni_jax.files.remote import RemotePath
from ssni_jax.files.store_lease import Unleased, lease_of


class Share(NamedTuple):
    """Every `of`-th block of the images, from block `number` on; all of them by default.

    A process that `is_leasing` ends when every block is recorded or held by a living process, and waits for none.
    `flags` are those of the command line that chose the share.
    """

    number: int = 0
    of: int | None = None
    is_leasing: bool = False
    flags: str = ""

    def of_blocks(self, blocks: Sequence[Sequence[int]]) -> list[Sequence[int]]:
        """The blocks of this share, in their order."""
        return list(blocks[self.number :: self.of or 1])

    def ids(self, ids: Sequence[int], size: int) -> list[int]:
        """The images of this share, of blocks of `size`, in their order."""
        blocks = [ids[start : start + size] for start in range(0, len(ids), size)]
        return [id for block in self.of_blocks(blocks) for id in block]

    def lease(self, path: Path) -> Any:
        """The lease of a unit; a fixed share on a store goes without, for not every store can tell who is first."""
        return lease_of(path) if self.of is None or not isinstance(path, RemotePath) else Unleased()

    def check(self, workdir: Path) -> None:
        """Refuses to share a workdir where a file cannot be created exclusively."""
        if self.of is None and isinstance(workdir, RemotePath) and not workdir.is_created_once():
            raise ValueError(
                f"{workdir} is on a store that does not create files exclusively, so that two processes could not tell "
                "whose a block is: split the run with --shard i/n, which is --shard 0/1 for a single process."
            )

    def check_size(self, size: Any) -> None:
        """Refuses a fixed share of blocks whose size each machine would choose for itself."""
        if self.of is not None and size == AUTO:
            raise ValueError(
                f"{self.flags} splits the run by blocks of batch_size images, which cannot be {AUTO!r}, because each "
                "machine would choose its own: give a number, such as --batch-size 64."
            )

    def plain(self, command: str) -> str:
        """The command of the whole run, from that of this share."""
        return command.removesuffix(f" {self.flags}") if self.flags else command


ALL = Share()
