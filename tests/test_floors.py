"""The floors of the package: a file imports from lower floors or from its own package, third parties at their place."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "ssni_jax"
FLOORS = (
    ("core", "lifecycle"),
    ("files",),
    ("schedules", "networks", "data", "dist"),
    ("convert", "solvers", "attacks", "certify"),
    ("purify",),
    ("training", "evals", "recipes"),
    ("zoo",),
    ("presets", "published"),
    ("experiments",),
    ("journal",),
    ("jobs", "report"),
    ("api",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}
PLACES = {"optax": ("training",), "orbax": ("training/checkpoint.py",), "tyro": ("cli.py", "commands"), "torch": ()}
OUTSIDE = ("configs", "tests", "launch", "benchmarks")


def violations(root: Path) -> list[str]:
    """One line an import that breaks the rules, files in order."""
    files = sorted(path.relative_to(root) for path in root.rglob("*.py"))
    imports = [(path, name) for path in files for name in imported(root / path, path)]
    return [f"{path} imports {name}" for path, name in imports if is_forbidden(path, name)]


def imported(file: Path, path: Path) -> list[str]:
    """Full dotted names of everything that a file imports, at whatever depth of its code."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [name for node in nodes if isinstance(node, ast.ImportFrom) for name in from_names(node, path)]


def from_names(node: ast.ImportFrom, path: Path) -> list[str]:
    """The names of a `from` import; a relative one is resolved."""
    here = ("ssni_jax", *path.parts[:-1])
    base = ".".join(here[: len(here) - node.level + 1]) if node.level else ""
    module = ".".join(part for part in (base, node.module) if part)
    return [f"{module}.{alias.name}" for alias in node.names] if module == "ssni_jax" else [module]


def is_forbidden(path: Path, name: str) -> bool:
    top, *rest = name.split(".")
    if top == "ssni_jax":
        return bool(rest) and rest[0] != "__version__" and climbs(package_of(path), rest[0])
    if top in PLACES:
        return not any(path.as_posix() == place or path.parts[0] == place for place in PLACES[top])
    return top in OUTSIDE


def climbs(importer: str, imported: str) -> bool:
    """Whether the imported package is on the importer's floor or above it, or on none."""
    if importer == imported or importer == "__init__":
        return False
    return FLOOR_OF.get(imported, len(FLOORS)) >= FLOOR_OF.get(importer, -1)


def package_of(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def plant(root: Path, path: str, code: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(code)


def test_every_file_imports_from_lower_floors_or_its_own_package():
    assert violations(ROOT) == []


def test_every_package_has_a_floor():
    packages = {package_of(path.relative_to(ROOT)) for path in ROOT.rglob("*.py")}
    assert packages - {"__init__"} <= set(FLOOR_OF)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("core/arrays.py", "from ssni_jax.schedules import VP"),
        ("core/arrays.py", "def late():\n    import ssni_jax.purify.levels"),
        ("core/arrays.py", "from ssni_jax import recipes"),
        ("solvers/steps.py", "from ssni_jax.attacks.pgd import Pgd"),
        ("solvers/steps.py", "from ..attacks import Pgd"),
        ("solvers/steps.py", "from .. import attacks"),
        ("recipes/ssni.py", "from ssni_jax.zoo import Pretrained"),
        ("journal/records.py", "from ssni_jax.nowhere import anything"),
        ("evals/robust.py", "import optax"),
        ("training/loop.py", "from orbax.checkpoint import v1"),
        ("journal/records.py", "import tyro"),
        ("convert/reader.py", "import torch.nn as nn"),
        ("data/digits.py", "from configs import train_score_digits"),
    ],
)
def test_a_planted_violation_is_found(tmp_path, path, code):
    plant(tmp_path, path, code)
    assert len(violations(tmp_path)) == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("solvers/steps.py", "from ssni_jax.core.types import Images\nfrom .solve import solve\nimport jax"),
        ("training/step.py", "import optax\nfrom ssni_jax.dist import rows"),
        ("training/checkpoint.py", "from orbax.checkpoint import v1"),
        ("zoo.py", "from ssni_jax.recipes import soft"),
        ("commands/demo.py", "import tyro\nfrom ssni_jax import api"),
        ("__init__.py", "from ssni_jax.api import purify"),
    ],
)
def test_a_permitted_import_passes(tmp_path, path, code):
    plant(tmp_path, path, code)
    assert violations(tmp_path) == []
