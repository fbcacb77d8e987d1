"""Compiled programs that the jobs of one process share."""

from collections import OrderedDict
from collections.abc import Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Any, Protocol, runtime_checkable

import jax

from ssni_jax.evals.sharing import pattern_of

LARGEST = 24  # programs kept; those of a large network take much memory


@runtime_checkable
class ProgramSource(Protocol):
    """Where a job gets its programs: compiled ones, or a plan, which notes what each takes and runs none."""

    def compiled(self, name: Hashable, function: Any, *args: Any) -> Any: ...


class CompiledPrograms:
    """Compiled programs by name and by what else they depend on: structure, shapes and types of their arguments.

    The evaluations of a sweep that differ in their numbers alone, such as the radius of an attack, compile once.
    Threads may share it: who needs a program that another one is compiling waits for it.
    """

    def __init__(self):
        self._compiled: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._lock = Lock()

    def compiled(self, name: Hashable, function: Any, *args: Any) -> Any:
        """The jitted `function` compiled for arguments like these; functions of one name have to be the same."""
        key = (name, jax.config.values["jax_default_matmul_precision"], *structure_of(args))
        program, is_new = self._reserved(key)
        if is_new:
            try:
                program.set_result(function.lower(*args).compile())
            except BaseException as error:
                with self._lock:
                    self._compiled.pop(key, None)
                program.set_exception(error)
        return program.result()

    def _reserved(self, key: Hashable) -> tuple["Future[Any]", bool]:
        """The program of this key, and whether the caller has to compile it."""
        with self._lock:
            is_new = key not in self._compiled
            program = self._compiled.setdefault(key, Future())
            self._compiled.move_to_end(key)
            while len(self._compiled) > LARGEST:
                self._compiled.popitem(last=False)
        return program, is_new


def structure_of(value: Any) -> tuple[Any, ...]:
    """What programs depend on: structure, shapes and types of a value's numbers, and which arrays stand twice."""
    leaves, pattern = pattern_of((value,))
    return pattern, *(jax.typeof(leaf) for leaf in leaves)
