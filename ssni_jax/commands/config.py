"""Reading a config file and the flags that override its fields."""

import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

T = TypeVar("T")


def read_experiment(config: Path, kind: type[T]) -> T:
    """The `experiment` that a config file builds, an instance of `kind`."""
    return _checked(config, build(config).get("experiment"), kind)


def read_experiments(config: Path, kind: type[T]) -> tuple[T, ...]:
    """The `experiments` that a config file builds, instances of `kind`, or its one `experiment`."""
    built = build(config)
    several = built["experiments"] if "experiments" in built else (built.get("experiment"),)
    return tuple(_checked(config, each, kind) for each in several)


def build(config: Path) -> dict[str, Any]:
    """The names that a config file defines."""
    if not config.is_file():
        raise FileNotFoundError(f"There is no config file {config}: give a .py file such as those in configs/.")
    try:
        return runpy.run_path(str(config))
    except SyntaxError as error:
        raise ValueError(f"{config} is not valid Python (line {error.lineno}: {error.msg}).") from None
    except (TypeError, ImportError, NameError) as error:
        raise ValueError(f"{config} cannot be built: {error}.") from error


def _checked(config: Path, experiment: Any, kind: type[T]) -> T:
    if not isinstance(experiment, kind):
        raise ValueError(
            f"{config} builds {'no `experiment`' if experiment is None else type(experiment).__name__}, and this "
            f"command reads {kind.__name__}: use the command for that kind, or another config file."
        )
    return experiment


def overridden(experiment: T, flags: Sequence[str], prog: str) -> T:
    """The experiment with its fields replaced by flags; --fields lists them."""
    flags = ["--help" if flag == "--fields" else flag for flag in flags]
    return tyro.cli(type(experiment), default=experiment, args=flags, prog=prog)
