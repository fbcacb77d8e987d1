"""The documents name files, modules and flags that exist."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
NAMES = [page.name for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_and_file_exists(page):
    text = page.read_text()
    links = {link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}
    files = set(re.findall(r"\b((?:configs|tests|benchmarks|launch|ssni_jax)/[\w/]+\.\w+)", text))
    assert [link for link in sorted(links) if not (page.parent / link).exists()] == []
    assert [file for file in sorted(files) if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_python_block_parses_and_imports_what_exists(page):
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_dotted_name_of_the_package_exists(page):
    for name in set(re.findall(r"`(ssni_jax(?:\.\w+)+)", page.read_text())):
        parts = name.split(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(".".join(parts[:-1])), parts[-1]), name


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_exists(page):
    from ssni_jax.cli import COMMANDS

    named = re.findall(r"^    ssni ([\w-]+)", page.read_text(), re.MULTILINE) + re.findall(
        r"`ssni ([a-z-]+)", page.read_text()
    )
    assert set(named) <= set(COMMANDS)
