"""Reading a config file and the flags that override its fields."""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import tyro

T = TypeVar("T")


def load_experiment(config: Path, kind: type[T], overrides: Sequence[str] = ()) -> T:
    """The `experiment` of a config file, an instance of `kind`, with its fields overridden by flags."""
    if not config.is_file():
        raise FileNotFoundError(
            f"There is no config file {config}: give the path of a .py file such as those in configs/."
        )
    try:
        experiment = runpy.run_path(str(config)).get("experiment")
    except SyntaxError as error:
        raise ValueError(f"{config} is not valid Python (line {error.lineno}: {error.msg}).") from None
    except (TypeError, ImportError, NameError) as error:
        raise ValueError(f"{config} cannot be built: {error}.") from error
    if not isinstance(experiment, kind):
        raise ValueError(
            f"{config} builds {'no `experiment`' if experiment is None else type(experiment).__name__}, and this "
            f"command reads {kind.__name__}: use the command for that kind, or another config file."
        )
    flags = ["--help" if flag == "--fields" else flag for flag in overrides]
    return tyro.cli(kind, default=experiment, args=flags, prog=f"{Path(sys.argv[0]).name} ... {config}")
