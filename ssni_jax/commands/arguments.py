"""What is checked of a command line before the command runs: that its name exists and that its paths are local."""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

INDEPENDENT = ("--shard", "--lease")
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


def is_independent(arguments: Sequence[str]) -> bool:
    """Whether a flag asks for a process that joins no others and shares nothing but files with them."""
    return any(argument.partition("=")[0] in INDEPENDENT for argument in arguments)


def check_independent(name: str, takes_share: bool, arguments: Sequence[str]) -> None:
    """Refuses the flags of independent processes for a command whose work is not made of blocks."""
    if is_independent(arguments) and not takes_share:
        raise ValueError(
            f"ssni {name} is not divided among independent processes: leave out --shard and --lease, which are for "
            "evaluate, judge, certify, calibrate and sweep; to train on several hosts, start all as one job."
        )


def placed(command: Any) -> Any:
    """The command with the URLs of stores as paths, where it takes them, which it lists as `STORED`."""
    check_local(command)
    from ssni_jax.files.remote import as_path

    values = {name: getattr(command, name) for name in getattr(command, "STORED", ())}
    changes = {name: value for name, value in values.items() if value is not None}
    if not changes:
        return command
    as_paths = {
        name: tuple(map(as_path, value)) if isinstance(value, tuple) else as_path(value)
        for name, value in changes.items()
    }
    return dataclasses.replace(command, **as_paths)


def check_local(command: Any) -> None:
    """Refuses a URL wherever a command takes a path that cannot lie on a store: it would become a folder like `gs:`."""
    stored = {f"--{name.replace('_', '-')}" for name in getattr(command, "STORED", ())}
    for flag, value in _paths(command):
        match = URL.fullmatch(str(value))
        if match and (isinstance(value, Path) or "://" in value):
            _check_url(flag, match[1].lower(), match[2].lstrip("/"), flag in stored)


def _check_url(flag: str, scheme: str, rest: str, may_be_stored: bool) -> None:
    from ssni_jax.files.remote import STORES

    if may_be_stored and scheme in STORES:
        return
    where = "only local and mounted paths are read and written there"
    if may_be_stored:
        where = f"of stores only {', '.join(f'{store}://' for store in STORES)} are known"
    raise ValueError(
        f"{flag} cannot be {scheme}://{rest}, because {where}: mount the storage or copy the files, and give that path."
    )


def _paths(value: Any, prefix: str = "") -> Iterator[tuple[str, str | Path]]:
    """The flags of a command that may be paths, and their values."""
    for field in dataclasses.fields(value):
        held, flag = getattr(value, field.name), prefix + field.name.replace("_", "-")
        if dataclasses.is_dataclass(held):
            yield from _paths(held, f"{flag}.")
        for one in held if isinstance(held, tuple) else (held,):
            if isinstance(one, str | Path):
                yield f"--{flag}", one
