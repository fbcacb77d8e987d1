"""The mutable things that pickles are built from, as inert as dictionaries."""

from typing import Any

from ssni_jax.convert.reading.allowance import Allowance
from ssni_jax.convert.reading.errors import damaged, shown


class Attributed(dict):
    """A dictionary that was an object: setting its state does nothing (an OrderedDict's `_metadata` is no weight)."""

    def set_state(self, state: Any) -> None:
        """What the BUILD instruction does to this object."""


class Namespace(Attributed):
    """An object whose attributes are its content: argparse's Namespace, EasyDict."""

    def set_state(self, state: Any) -> None:
        """Takes the attributes over."""
        if not isinstance(state, dict) or not self.keys().isdisjoint(state):
            raise damaged("a namespace has attributes that are no dictionary, or has one twice")
        self.update(state)


class Module(Attributed):
    """A network module as {"class_name", "state"}; the class itself is never looked for."""

    def __init__(self, class_name: str, state: Any = None):
        super().__init__(class_name=class_name, state={} if state is None else state)

    def set_state(self, state: Any) -> None:
        """Takes the module's attributes: `_parameters`, `_buffers`, `_modules` and its settings."""
        self["state"] = state


def put(target: dict, key: Any, value: Any, allowance: Allowance) -> None:
    """`target[key] = value` for a key that is plain and new."""
    if type(key) is not str:
        if not isinstance(key, int | float | None):
            raise damaged(f"a dictionary has a key of type {type(key).__name__}")
        allowance.spend("numbered keys")
    if key in target:
        raise damaged(f"a dictionary has the key {shown(key)} twice")
    target[key] = value
