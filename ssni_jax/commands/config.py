"""Reading a config file and the flags that override its fields."""

import contextlib
import dataclasses
import runpy
import sys
import types
import typing
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import tyro

from ssni_jax.commands.parsing import parsed
from ssni_jax.commands.refusals import CONFIG, refused_config
from ssni_jax.experiments.choices import Chosen

T = TypeVar("T")
FIELDS = "--fields"
NESTED = ("objective",)  # fields whose own fields may be a value or None


def read_experiment(config: Path, kind: type[T]) -> T:
    """The `experiment` that a config file builds, an instance of `kind`; of one with choices, that of its defaults."""
    return read_chosen(config, kind, (), "")[0]


def read_chosen(config: Path, kind: type[T], flags: Sequence[str], prog: str) -> tuple[T, list[str]]:
    """The `experiment` of a config file under the choices that flags make, and the flags that are left."""
    built, rest = build(config).get("experiment"), list(flags)
    if isinstance(built, Chosen):
        choices, rest = _choices(built.choices, rest, prog)
        built = built.build(choices)
    return _checked(config, built, kind), rest


def with_choices(built: Any, flags: Sequence[str], prog: str) -> Any:
    """What a config has built, with its choices as flags make them if it has any; other flags are refused."""
    if not isinstance(built, Chosen):
        return built
    return dataclasses.replace(
        built, choices=parsed(type(built.choices), default=built.choices, args=list(flags), prog=prog)
    )


def _choices(default: Any, flags: list[str], prog: str) -> tuple[Any, list[str]]:
    """The choices after their flags, and the other flags; --fields shows the choices and is left."""
    if FIELDS in flags:
        with contextlib.suppress(SystemExit):
            parsed(type(default), default=default, args=["--help"], prog=prog)
        return default, flags
    return parsed(type(default), default=default, args=flags, prog=prog, return_unknown_args=True)


def read_experiments(config: Path, kind: type[T]) -> tuple[T, ...]:
    """The `experiments` that a config file builds, instances of `kind`, or its one `experiment`."""
    built = build(config)
    several = built["experiments"] if "experiments" in built else (built.get("experiment"),)
    if not isinstance(several, tuple | list) or not several:
        raise ValueError(f"{config} must build `experiments` as a tuple of at least one, got {several!r}: correct it.")
    return tuple(_checked(config, experiment, kind) for experiment in several)


def build(config: Path) -> dict[str, Any]:
    """The names that a config file defines; whatever it raises is refused with its line."""
    if config.is_dir():
        raise IsADirectoryError(f"{config} is a folder: give the .py file of a config.")
    if not config.is_file():
        raise FileNotFoundError(f"There is no config file {config}: give a .py file such as those in configs/.")
    # Flags show the docstrings of fields, which Python finds through the module of the class that a config defines.
    sys.modules[CONFIG] = module = types.ModuleType(CONFIG)
    module.__file__ = str(config)
    try:
        return runpy.run_path(str(config), run_name=CONFIG)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a config that ends the program must not look like a success
        raise refused_config(config, error) from error


def _checked(config: Path, experiment: Any, kind: type[T]) -> T:
    if not isinstance(experiment, kind):
        raise ValueError(
            f"{config} builds {_named(experiment)}, and this command reads {kind.__name__}: "
            "use the command for that kind, or another config file."
        )
    return experiment


def _named(experiment: Any) -> str:
    if isinstance(experiment, type):
        return f"the class {experiment.__name__} instead of a value of it"
    return "no `experiment`" if experiment is None else type(experiment).__name__


def overridden(experiment: T, flags: Sequence[str], prog: str) -> T:
    """The experiment with its fields replaced by flags; --fields lists them."""
    flags = ["--help" if flag == FIELDS else flag for flag in flags]
    narrowed = _narrowed(experiment)
    return _widened(parsed(type(narrowed), default=narrowed, args=flags, prog=prog), experiment)


def _narrowed(value: Any) -> Any:
    """The value in a class whose fields of the kind `Attack | None` say what they hold, so that this has flags."""
    kind, fields = type(value), _fields(value)
    hints = typing.get_type_hints(kind)
    held = {name: item for name, item in fields.items() if item is not None and _is_value_or_none(hints[name])}
    nested = {name: _narrowed(item) for name, item in fields.items() if name in NESTED}
    arrays = {name: jax.tree.map(_stand_in, item) for name, item in fields.items() if _holds_arrays(item)}
    types = hints | {name: type(item) for name, item in {**held, **nested, **arrays}.items()}
    types |= {name: tyro.conf.Fixed[types[name]] for name in arrays}  # weights are no flags
    shown = fields | arrays
    defaults = {name: dataclasses.field(default_factory=partial(_itself, item)) for name, item in shown.items()}
    annotations = {name: types[name] for name in fields}
    members = {"__annotations__": annotations, "__doc__": kind.__doc__, "__module__": kind.__module__, **defaults}
    narrow = dataclasses.dataclass(frozen=True)(type(kind.__name__, (kind,), members))
    return narrow(**{**shown, **nested})


def _widened(value: Any, like: Any) -> Any:
    """The inverse of `_narrowed`, in the classes of `like`."""
    fields = _fields(value)
    nested = {name: _widened(fields[name], getattr(like, name)) for name in NESTED if name in fields}
    arrays = {name: item for name, item in _fields(like).items() if _holds_arrays(item) and name not in nested}
    return type(like)(**{**fields, **nested, **arrays})


def _stand_in(leaf: Any) -> Any:
    """NumPy zeros of the shape of an array, without memory: tyro cannot look into arrays of jaxlib 0.12."""
    return np.broadcast_to(np.float32(0), leaf.shape) if isinstance(leaf, jax.Array) else leaf


def _itself(value: T) -> T:
    return value


def _holds_arrays(value: Any) -> bool:
    """Whether a value holds weights instead of naming a stored network."""
    return any(np.ndim(leaf) > 0 for leaf in jax.tree.leaves(value) if hasattr(leaf, "shape"))


def _is_value_or_none(hint: Any) -> bool:
    """Whether a type is a protocol, perhaps another value, or None; plain numbers or None are flags as they are."""
    kinds = typing.get_args(hint)
    return type(None) in kinds and any(getattr(kind, "_is_protocol", False) for kind in kinds)


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
