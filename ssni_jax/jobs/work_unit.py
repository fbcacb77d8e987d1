"""What a run is made of: units of work, each of a block of images."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class WorkUnit(NamedTuple):
    """The smallest thing that is written at once: its stage, its images in order, and what else tells it apart.

    `is_followed` says that further units depend on its outcome, as those of the next attack of an ensemble do.
    """

    stage: str
    ids: tuple[int, ...]
    of: Any = None
    is_followed: bool = False

    @property
    def name(self) -> str:
        """Its name in the journal: the stage and the first image."""
        return f"{self.stage}-{self.ids[0]:08d}"


def missing_blocks(ids: Sequence[int], have: set[int], size: int) -> Iterator[tuple[int, ...]]:
    """Blocks of the planned order, each without the images that are done."""
    for start in range(0, len(ids), size):
        left = tuple(id for id in ids[start : start + size] if id not in have)
        if left:
            yield left
