"""ARCHITECTURE.md says what the code says: its generated tables, its floors, and the paths it names."""

import re

import pytest

from tests.architecture import PAGE, ROOT, first_line, protocols, updated
from tests.test_floors import FLOORS

TEXT = PAGE.read_text()


def test_the_generated_tables_are_up_to_date():
    assert updated(TEXT) == TEXT, "run `python tests/architecture.py`"


def test_a_stale_row_is_rewritten_and_a_lost_block_is_named():
    assert updated(TEXT.replace("| `diffpure_sde` |", "| `gone` |")) == TEXT
    with pytest.raises(ValueError, match="'recipes'"):
        updated(TEXT.replace("end of recipes", "end"))


def test_the_floors_are_those_of_the_test():
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", TEXT, re.MULTILINE)
    floors = [
        sorted(name for n, cells in rows if int(n) == floor for name in named(cells)) for floor in range(len(FLOORS))
    ]
    assert floors == [sorted(packages) for packages in FLOORS]


def named(cells: str) -> list[str]:
    return [name.strip("/") for name in re.findall(r"`([\w/]+)`", cells)]


def test_every_path_it_names_exists():
    paths = re.findall(r"[`\s(]((?:\w+/)+\w+\.(?:py|md))", TEXT)
    assert len(paths) > 30
    assert [path for path in paths if not any((base / path).exists() for base in (ROOT, ROOT / "ssni_jax"))] == []


def test_a_protocol_is_found_by_its_base_and_needs_a_docstring(tmp_path):
    (tmp_path / "a.py").write_text('class A(B, Protocol):\n    """What it is.\n\n    More."""\nclass C:\n    pass\n')
    assert protocols(tmp_path) == [("`A`", "`a.py`", "What it is.")]
    with pytest.raises(ValueError, match="docstring"):
        first_line(None)
