"""Whatever a config file raises is one sentence with its line, and exit code 2."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ssni_jax.cli import main
from ssni_jax.commands.config import build, read_experiments
from ssni_jax.commands.refusals import ConfigError, in_config, sentence
from ssni_jax.experiments import Certification
from tests.test_cli import refused

IMPORTS = (
    "from ssni_jax.data import *\nfrom ssni_jax.experiments import Evaluation\nfrom ssni_jax.presets import preset\n"
)


@pytest.fixture
def config(tmp_path):
    """Writes a config file."""

    def write(content) -> Path:
        path = tmp_path / "config.py"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("{}['eps']", "KeyError: 'eps'"),
        ("[][1]", "IndexError"),
        ("import os; os.nothing", "AttributeError"),
        ("f = lambda: f(); f()", "RecursionError"),
        ("assert 1 == 2, 'one is not two'", "AssertionError: one is not two"),
        ("raise NotImplementedError", "NotImplementedError: correct"),
        ("raise MemoryError", "MemoryError"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("int('x')", "ValueError: invalid literal"),
        (r"b'\xff'.decode()", "UnicodeDecodeError"),
        ("open('/nowhere/labels.txt')", "There is no /nowhere/labels.txt: check the path"),
        ("raise SystemExit(0)", r"must not end the program \(exit code 0\)"),
        ("import sys; sys.exit()", r"must not end the program \(exit code None\)"),
        ("import jax.numpy as jnp; jnp.zeros(3) + jnp.zeros(4)", "TypeError: add got incompatible shapes"),
        ("import nowhere", "No module named 'nowhere'"),
        ("raise ZeroDivisionError('two\\nlines ' + 'x' * 5000)", "two lines x+ ... x+: correct that line"),
    ],
)
def test_what_a_config_raises_is_named_with_its_line(config, line, words):
    path = config(f"seed = 0\n{line}\n")
    with pytest.raises(ConfigError, match=f"{path}, line 2: .*{words}") as error:
        build(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 700


def test_the_line_is_the_innermost_one_in_the_config(config):
    with pytest.raises(ConfigError, match="line 2: ZeroDivisionError"):
        build(config("def half(n):\n    return 1 / n\n\nvalue = sorted([1, 0], key=half)\n"))


def test_a_sentence_of_this_library_keeps_its_words_behind_the_line(config):
    with pytest.raises(ConfigError, match=r"config\.py, line 4: There is no preset 'magic': choose one of digits"):
        build(config(f"{IMPORTS}preset('magic')\n"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x = (", r"not valid Python \(line 1: "),
        (b"x = '\xff'", "not valid Python .*utf-8"),
        (b"x = 1\0", "null bytes"),
        (bytes(range(256)), r"config\.py (is not valid|cannot be read as) Python"),
        ("(" * 300 + ")" * 300, "too many nested parentheses"),
    ],
)
def test_what_is_no_python_is_named(config, content, words):
    with pytest.raises(ConfigError, match=words):
        build(config(content))


def test_a_folder_is_no_config(tmp_path):
    with pytest.raises(OSError, match=r"is a folder: give the \.py file"):
        build(tmp_path)


@pytest.mark.parametrize("value", ["3", "()", "'text'"])
def test_experiments_that_are_no_tuple_of_some_are_named(config, value):
    with pytest.raises(ValueError, match=r"must build `experiments` as a tuple of at least one, got"):
        read_experiments(config(f"experiments = {value}"), Certification)


def test_a_class_instead_of_its_value_is_named(config, tmp_path, capsys):
    path = config("from ssni_jax.experiments import Evaluation\nexperiment = Evaluation\n")
    assert "builds the class Evaluation instead of a value" in refused(capsys, "evaluate", path, "--workdir", tmp_path)


@pytest.mark.parametrize("ending", ["raise SystemExit(0)", "1 / 0"])
def test_a_config_that_ends_the_program_or_fails_is_refused_by_every_command(config, tmp_path, capsys, ending):
    error = refused(capsys, "certify", config(f"\n\n{ending}\n"), "--workdir", tmp_path / "w")
    assert "config.py, line 3: " in error and error.endswith("--debug shows the traceback.")
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("where", [0, -1])
def test_debug_shows_the_traceback_and_keeps_the_exit_code(config, tmp_path, capsys, where):
    arguments = ["evaluate", str(config("1 / 0")), "--workdir", str(tmp_path)]
    arguments.insert(len(arguments) if where else 0, "--debug")
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown and "ZeroDivisionError: division by zero" in shown


SOURCE = """
class Images:
    image_shape, n_classes, fingerprint = (8, 8, 1), 10, "mine"
    def __len__(self): return 4
    def __getitem__(self, i): {}
experiment = Evaluation("mine", preset("digits-undefended"), Images(), None)
"""


@pytest.mark.parametrize(
    ("body", "words"), [("return 1 / 0", "ZeroDivisionError"), ("raise SystemExit(0)", "must not end the program")]
)
def test_code_of_a_config_that_fails_later_is_named_with_its_line(config, body, words):
    images = build(config(IMPORTS + SOURCE.format(body)))["experiment"].images
    with pytest.raises((ZeroDivisionError, SystemExit)) as end:
        images[0]
    assert f"config.py, line 8: {words}" in str(in_config(end.value)).replace("a config ", "")


def test_an_error_that_came_through_no_config_is_left_alone():
    with pytest.raises(ZeroDivisionError) as error:
        1 / 0  # noqa: B018
    assert in_config(error.value) is None


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda path: (path / "missing").read_text(), "There is no .*missing: check the path"),
        (lambda path: path.read_text(), "is a folder, and a file is needed"),
        (lambda path: path.mkdir(), "exists already: move it away"),
        (lambda path: (path / "f").touch() or (path / "f" / "g").mkdir(), "a part of it is a file and no folder"),
        (lambda path: (path / ("x" * 300)).touch(), "is too long for its disk"),
        (lambda path: (path / "l").symlink_to("l") or (path / "l").read_text(), "leads back to itself"),
    ],
)
def test_an_error_of_the_operating_system_names_the_path_and_a_remedy(tmp_path, use, words):
    with pytest.raises(OSError) as error:
        use(tmp_path)
    assert re.search(words, sentence(error.value))
    assert "Errno" not in sentence(error.value)


def test_a_full_disk_and_an_unknown_cause_have_remedies():
    assert "free space" in sentence(OSError(28, "No space left on device", "/runs/x"))
    assert "check the path and its disk" in sentence(OSError(5, "Input/output error", "/runs/x"))
    assert sentence(OSError("a sentence of ours.")) == "a sentence of ours."


@pytest.mark.slow
def test_the_module_is_the_command():
    command = [sys.executable, "-m", "ssni_jax", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("ssni ")
