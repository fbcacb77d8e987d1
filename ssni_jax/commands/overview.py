"""The page of `ssni --help`: one line per command, read from the source of its dataclass without importing it."""

import ast
import shutil
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

USAGE = "usage: ssni COMMAND ..."
DESCRIPTION = """Diffusion-based adversarial purification with sample-specific noise.

Start with `ssni demo`. `ssni COMMAND --help` explains a command; `ssni evaluate CONFIG --fields`, and likewise for
certify and train, lists everything a config file sets and a flag can override. `--debug`, or SSNI_TRACEBACK=1, shows
where an error came from; `ssni --version` shows the version."""
NARROWEST, WIDEST = 60, 120


def page(commands: Mapping[str, str]) -> str:
    """The page, as wide as the terminal; `commands` are those of `cli.COMMANDS`."""
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    paragraphs = [textwrap.fill(paragraph, width) for paragraph in DESCRIPTION.split("\n\n")]
    return "\n\n".join([USAGE, *paragraphs, "commands:\n" + "\n".join(_listed(commands, width))])


def summaries(commands: Mapping[str, str]) -> dict[str, str]:
    """The first paragraph of the docstring of each command, on one line."""
    docstrings: dict[str, str] = {}
    for module in dict.fromkeys(place.partition(".")[0] for place in commands.values()):
        tree = ast.parse((Path(__file__).parent / f"{module}.py").read_bytes())
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        docstrings |= {f"{module}.{node.name}": ast.get_docstring(node) or "" for node in classes}
    return {name: " ".join(docstrings[place].split("\n\n")[0].split()) for name, place in commands.items()}


def _listed(commands: Mapping[str, str], width: int) -> Iterable[str]:
    column = 4 + max(map(len, commands))
    for name, summary in summaries(commands).items():
        yield textwrap.fill(summary, width, initial_indent=f"  {name:{column - 2}}", subsequent_indent=" " * column)
