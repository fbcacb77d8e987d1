"""--shard and --lease: processes that know nothing of each other and share the work of one command."""

import dataclasses
import os
import re
import shlex
from collections.abc import Mapping

from ssni_jax.jobs.sharing import ALL, Share

SHARD = re.compile(r"(?:env:(\w+)|(\d+))/(\d+)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sharing:
    """The flags of a command that several independent processes may share."""

    shard: str | None = None
    """Work on part i of n alone, given as i/n with i from 0 to n - 1: every n-th block of images, whatever other
    processes do. env:NAME/n takes i from an environment variable, such as env:JOB_COMPLETION_INDEX/16. Shards may have
    workdirs of their own, which `ssni merge` joins."""
    lease: bool = False
    """Share the --workdir with other such processes: each takes blocks of images that nobody works on, also those of a
    process that was killed, and ends when all are recorded or held by others."""

    @property
    def share(self) -> Share:
        """What the flags ask for."""
        if self.shard is None:
            return Share(is_leasing=True, flags="--lease") if self.lease else ALL
        if self.lease:
            raise ValueError("--shard is a fixed share and --lease takes what is free: give one of them.")
        return shard_of(self.shard, os.environ)

    def with_flags(self, command: list[str]) -> str:
        """The command line that resumes, these flags at its end."""
        return " ".join([shlex.join(command), *filter(None, [self.share.flags])])


def shard_of(text: str, environment: Mapping[str, str]) -> Share:
    """The share that --shard i/n names."""
    match = SHARD.fullmatch(text)
    if match is None:
        raise ValueError(f"--shard must be i/n with whole numbers, such as 0/4 for the first of four, got {text!r}.")
    variable, given, n = match[1], match[2], int(match[3])
    number = environment.get(variable, "") if variable else given
    if not number.isdecimal():
        raise ValueError(f"--shard {text} takes its number from {variable}, which is {number!r}: set it, or give i/n.")
    if int(number) >= n:
        raise ValueError(f"--shard {number}/{n} does not exist: the shards of {n} are 0/{n} to {max(n - 1, 0)}/{n}.")
    return Share(int(number), n, flags=f"--shard {shlex.quote(text)}")
