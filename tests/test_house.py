"""The house: names mean one thing, files are neither fragments nor heaps, and nothing asks what a method is."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "ssni_jax"
FILES = sorted(path for path in ROOT.rglob("*.py"))
REBUILT = ("attacks", "evals", "experiments", "files", "jobs", "journal", "lifecycle", "purify", "recipes", "report")
VAGUE = {"each", "found", "made", "told", "done"}


def rebuilt():
    return [path for path in FILES if path.relative_to(ROOT).parts[0] in REBUILT]


def classes(path):
    """Public classes at the top of a file."""
    nodes = ast.parse(path.read_text()).body
    return [node.name for node in nodes if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def variables(path):
    """Every name that a file assigns, loops over or takes as an argument."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if isinstance(node, ast.arg):
            yield node.arg


def test_no_two_public_classes_have_one_name():
    homes = defaultdict(list)
    for path in FILES:
        for name in classes(path):
            homes[name].append(path.relative_to(ROOT).as_posix())
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def test_no_two_files_of_a_package_have_one_name():
    homes = defaultdict(list)
    for path in FILES:
        package, *rest = path.relative_to(ROOT).parts
        if rest and path.name != "__init__.py":
            homes[package, path.name].append(path)
    assert [files for files in homes.values() if len(files) > 1] == []


@pytest.mark.parametrize("path", rebuilt(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_are_short_and_their_variables_say_what_they_are(path):
    assert len(path.read_text().splitlines()) <= 250
    assert VAGUE & set(variables(path)) == set()


def test_no_recipe_and_no_way_to_differentiate_asks_what_a_value_is():
    asking = [path for path in FILES if re.search(r"\bisinstance\(", path.read_text())]
    names = {path.relative_to(ROOT).as_posix() for path in asking}
    assert [name for name in names if name.startswith("recipes/") or name == "purify/differentiation.py"] == []
