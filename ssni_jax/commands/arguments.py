"""What is checked of a command line before the command runs: that its name exists and that its paths are local."""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)  # a Path has already joined the slashes


def check_name(name: str, commands: Iterable[str]) -> None:
    """Refuses what is no command, with the nearest one."""
    names = list(commands)
    if name in names:
        return
    if name.startswith("-"):
        raise ValueError(f"{name} stands where the command should: write `ssni COMMAND {name} ...`; see `ssni --help`.")
    near = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean {near[0]}?" if near else "choose one of " + ", ".join(names) + "."
    raise ValueError(f"There is no command {name!r}: {hint} `ssni --help` explains them.")


def check_local(command: Any) -> None:
    """Refuses a URL wherever a command takes a path, which would become a folder such as `gs:`."""
    for flag, value in _paths(command):
        match = URL.fullmatch(str(value))
        if match and (isinstance(value, Path) or "://" in value):
            url = f"{match[1]}://{match[2].lstrip('/')}"
            raise ValueError(
                f"{flag} cannot be {url}, because only local and mounted paths are read and written: "
                "mount the storage, or copy the files, and give that path."
            )


def _paths(value: Any, prefix: str = "") -> Iterator[tuple[str, str | Path]]:
    """The flags of a command that may be paths, and their values."""
    for field in dataclasses.fields(value):
        held, flag = getattr(value, field.name), prefix + field.name.replace("_", "-")
        if dataclasses.is_dataclass(held):
            yield from _paths(held, f"{flag}.")
        elif isinstance(held, str | Path):
            yield f"--{flag}", held
