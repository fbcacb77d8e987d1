"""The command line: parses, runs one command, and turns a refused input into one sentence and exit code 2."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import tyro

from ssni_jax.commands.bench import Bench
from ssni_jax.commands.calibrate import Calibrate
from ssni_jax.commands.certify import Certify
from ssni_jax.commands.check_gradient import CheckGradient
from ssni_jax.commands.compare import Compare
from ssni_jax.commands.convert import Convert
from ssni_jax.commands.demo import Demo
from ssni_jax.commands.evaluate import Evaluate
from ssni_jax.commands.purify import PurifyImages
from ssni_jax.commands.report import Report, Status
from ssni_jax.commands.train import Train
from ssni_jax.dist import start_processes

COMMANDS = {
    "demo": Demo,
    "purify": PurifyImages,
    "calibrate": Calibrate,
    "evaluate": Evaluate,
    "certify": Certify,
    "compare": Compare,
    "check-gradient": CheckGradient,
    "bench": Bench,
    "train": Train,
    "convert": Convert,
    "status": Status,
    "report": Report,
}
DESCRIPTION = """Diffusion-based adversarial purification with sample-specific noise.

Start with `ssni demo`. `ssni COMMAND --help` explains a command; `ssni evaluate CONFIG --fields`,
and likewise for certify and train, lists everything a config file sets and a flag can override.
SSNI_TRACEBACK=1 shows where an error came from."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `ssni`; exit code 0 when done, 2 when something was refused."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        command, overrides = parse(arguments or ["--help"])
        keep_compiled_programs()
        start_processes()
        command.run(overrides)
    except (ValueError, OSError) as error:
        if os.environ.get("SSNI_TRACEBACK"):
            raise
        print(f"ssni: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def keep_compiled_programs() -> None:
    """Programs compiled by one command serve the next; JAX_COMPILATION_CACHE_DIR chooses another place."""
    if jax.config.values["jax_compilation_cache_dir"] is None:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "ssni_jax" / "compiled"))


def parse(arguments: Sequence[str]):
    """The command, and the flags that its config file is asked to take."""
    chosen = COMMANDS.get(arguments[0])
    if chosen is not None and chosen.takes_overrides:
        unused = ["--workdir", "."] if "--fields" in arguments and "--workdir" not in arguments else []
        flags = [*arguments[1:], *unused]  # listing fields needs no directory
        return tyro.cli(chosen, args=flags, prog=f"ssni {arguments[0]}", return_unknown_args=True)
    command = tyro.extras.subcommand_cli_from_dict(COMMANDS, args=list(arguments), prog="ssni", description=DESCRIPTION)
    return command, []
