"""The generated tables of ARCHITECTURE.md: protocols, recipes, presets and settings.

python tests/architecture.py    rewrites the tables in place
"""

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "ARCHITECTURE.md"
BLOCK = "<!-- generated: {name}; `python tests/architecture.py` rewrites it -->\n{table}\n<!-- end of {name} -->"

sys.path.insert(0, str(ROOT))

from ssni_jax import presets, recipes  # noqa: E402


def updated(page: str) -> str:
    """The page with every generated table as the code has it now; ValueError where a block is missing."""
    for name, table in tables().items():
        pattern = re.escape(BLOCK.format(name=name, table="\0")).replace("\0", ".*?")
        block = BLOCK.format(name=name, table=table)
        page, n = re.subn(pattern, lambda _, block=block: block, page, flags=re.DOTALL)
        if n != 1:
            raise ValueError(f"The page must have exactly one block {name!r}, and has {n}: see `BLOCK` in this file.")
    return page


def tables() -> dict[str, str]:
    """Each table in Markdown."""
    return {
        "protocols": table(("protocol", "in", "what it is"), protocols(ROOT / "ssni_jax")),
        "recipes": table(("recipe", "what it is"), recipe_rows()),
        "presets": table(("preset or setting", "votes", "what it is"), [*preset_rows(), *setting_rows()]),
    }


def protocols(package: Path) -> list[tuple[str, ...]]:
    """Name, file and first docstring line of every protocol, those of core/ first."""
    files = sorted(package.rglob("*.py"), key=lambda file: (file.parent.name != "core", file))
    return [
        (f"`{node.name}`", f"`{file.relative_to(package)}`", first_line(ast.get_docstring(node)))
        for file in files
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)
    ]


def recipe_rows() -> list[tuple[str, ...]]:
    """Name and first docstring line of every recipe."""
    return [(f"`{name}`", first_line(getattr(recipes, name).__doc__)) for name in recipes.__all__]


def preset_rows() -> list[tuple[str, ...]]:
    """Name, votes and first docstring line of every preset."""
    made = ((name, make().n_votes, make.__doc__) for name, make in presets.PRESETS.items())
    return [(f"`{name}`", str(n_votes), first_line(doc)) for name, n_votes, doc in made]


def setting_rows() -> list[tuple[str, ...]]:
    """Name, votes and recipe of every paper's setting; those that differ in their noise alone share a row."""
    groups = groupby(presets.SETTINGS.items(), key=lambda item: family_of(*item))
    return [(names_of(name for name, _ in members), str(votes), call) for (_, call, votes), members in groups]


def family_of(name: str, setting: tuple[Any, int]) -> tuple[str, str, int]:
    """The name without its noise level, the recipe without it, and the votes."""
    make, n_votes = setting
    function, given = (make.func, make.keywords) if isinstance(make, partial) else (make, {})
    if "sigma" not in given:
        return name, f"`{call_of(function, given)}`", n_votes
    shared = {key: value for key, value in given.items() if key not in ("sigma", "n_steps")}
    return name.rsplit("-", 1)[0], f"`{call_of(function, {'sigma': '...', **shared})}`", n_votes


def names_of(names: Iterable[str]) -> str:
    first, *others = names
    return ", ".join([f"`{first}`", *(f"`-{name.rsplit('-', 1)[1]}`" for name in others)])


def call_of(function: Any, given: dict[str, Any]) -> str:
    return f"{function.__name__}({', '.join(f'{key}={shown(value)}' for key, value in given.items())})"


def shown(value: Any) -> str:
    return f"{type(value).__name__}()" if dataclasses.is_dataclass(value) else str(value)


def first_line(doc: str | None) -> str:
    if not doc:
        raise ValueError("Everything that ARCHITECTURE.md lists needs a docstring.")
    return inspect.cleandoc(doc).splitlines()[0].replace("|", r"\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
