"""`ssni merge`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import tyro


@dataclasses.dataclass(frozen=True)
class Merge:
    """Join workdirs of one run into a new one, such as those of shards on several hosts, or copy one from a store.

    Records, adversarial images and pictures are copied; the workdirs stay as they are. Workdirs of different
    experiments, damaged files, an image that two workdirs have, and planned images that none has are refused. The
    result is reported and resumed as any other.
    """

    takes_overrides: ClassVar[bool] = False
    STORED: ClassVar = ("out", "workdirs")
    out: tyro.conf.Positional[Path]
    """The directory to write, which must not hold a run yet."""
    workdirs: tyro.conf.Positional[tuple[Path, ...]]
    """The --workdir of each part, or directories of several, of which those of the same name are joined."""
    allow_gaps: bool = False
    """Join what there is, although planned images are missing: the result can be resumed."""

    def run(self, overrides: Sequence[str]) -> None:
        """Writes the joined workdir, then prints where the run stands."""
        from ssni_jax.journal.merge import merge
        from ssni_jax.journal.status import status

        if not self.workdirs:
            raise ValueError(f"ssni merge {self.out} joins nothing: name the workdirs after it.")
        merge(self.out, self.workdirs, self.allow_gaps)
        print(f"{status(self.out)}\nNext: ssni report {self.out}")
