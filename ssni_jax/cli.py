"""The command line: parses, runs one command, and turns a refused input into one sentence and exit code 2.

Signals are handled before anything heavy is imported, so commands and JAX are imported inside functions.
"""

import importlib
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ssni_jax.lifecycle import REFUSED, PeerFailed, Stopper, several
from ssni_jax.lifecycle.supervisor import supervise

COMMANDS = {
    "demo": "demo.Demo",
    "purify": "purify.PurifyImages",
    "calibrate": "calibrate.Calibrate",
    "evaluate": "evaluate.Evaluate",
    "judge": "evaluate.Judge",
    "sanity": "sanity.Sanity",
    "sweep": "sweep.SweepCells",
    "certify": "certify.Certify",
    "compare": "compare.Compare",
    "check-gradient": "check_gradient.CheckGradient",
    "bench": "bench.Bench",
    "train": "train.Train",
    "convert": "convert.Convert",
    "status": "report.Status",
    "report": "report.Report",
}
"""The module in `ssni_jax.commands` and the class of each command."""
MOST_CPU_DEVICES = 4
DESCRIPTION = """Diffusion-based adversarial purification with sample-specific noise.

Start with `ssni demo`. `ssni COMMAND --help` explains a command; `ssni evaluate CONFIG --fields`,
and likewise for certify and train, lists everything a config file sets and a flag can override.
SSNI_TRACEBACK=1 shows where an error came from."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `ssni`; the exit codes are those of `ssni_jax.lifecycle`, and 0 when the command is complete."""
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if several(os.environ):
        supervise(os.environ)  # goes on in a child process
    with Stopper(shlex.join(["ssni", *arguments])) as stopper, stopper.nothing_to_lose():
        try:
            run(arguments, stopper)
        except Exception as error:
            leave(error, stopper)


def run(arguments: Sequence[str], stopper: Stopper) -> None:
    """Parses the command, joins the other processes of the job if there are any, and runs it."""
    command, overrides = parse(arguments)
    keep_compiled_programs()
    from ssni_jax.dist.peers import ending_with_peers
    from ssni_jax.dist.processes import start_processes
    from ssni_jax.dist.service import is_joined

    start_processes()
    if not is_joined():
        if arguments[0] != "train":  # a training step has no loop
            divide_the_cpu()
        command.run(overrides)
        return
    stopper.arm()
    with ending_with_peers():
        command.run(overrides)


def leave(error: Exception, stopper: Stopper) -> NoReturn:
    """Ends the process for an error, in one sentence if the user can do something about it."""
    from ssni_jax.dist import peers, service

    is_joined = service.is_joined()
    if is_joined and peers.is_lost(error):
        if os.environ.get("SSNI_TRACEBACK"):
            traceback.print_exc()
        peers.leave_without_peer(error, is_stopping=stopper.asked is not None)
    is_peers, is_refusal = isinstance(error, PeerFailed), isinstance(error, ValueError | OSError)
    is_first = not is_joined or (not is_peers and peers.report_failure())
    if os.environ.get("SSNI_TRACEBACK") or not (is_refusal or is_peers):
        traceback.print_exc()
    elif is_refusal and is_first:  # what all processes refuse is said once
        print(f"ssni: {error}", file=sys.stderr, flush=True)
    code = REFUSED if is_refusal or is_peers else 1
    if is_joined:
        peers.leave_together(code)
    raise SystemExit(code) from None


def divide_the_cpu() -> None:
    """A CPU counts as one device per core, at most four, because XLA runs a convolution inside a loop on one core.

    Every device holds the weights. JAX_NUM_CPU_DEVICES chooses another number.
    """
    import jax

    is_chosen = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if jax.config.values["jax_num_cpu_devices"] < 0 and not is_chosen:
        n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        jax.config.update("jax_num_cpu_devices", min(n_cores, MOST_CPU_DEVICES))


def keep_compiled_programs() -> None:
    """Programs compiled by one command serve the next; JAX_COMPILATION_CACHE_DIR chooses another place."""
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is None:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "ssni_jax" / "compiled"))


def parse(arguments: Sequence[str]) -> tuple[Any, list[str]]:
    """The command, and the flags that its config file is asked to take."""
    import tyro

    name, *flags = arguments
    chosen = command_class(name) if name in COMMANDS else None
    if chosen is not None and chosen.takes_overrides:
        unused = ["--workdir", "."] if "--fields" in flags and "--workdir" not in flags else []
        return tyro.cli(  # listing fields needs no directory
            chosen, args=[*flags, *unused], prog=f"ssni {name}", return_unknown_args=True
        )
    if chosen is not None and not {"-h", "--help"} & {*flags}:  # only the page of help needs to know of the others
        return tyro.cli(chosen, args=flags, prog=f"ssni {name}"), []
    commands = {name: command_class(name) for name in COMMANDS}
    return tyro.extras.subcommand_cli_from_dict(commands, args=arguments, prog="ssni", description=DESCRIPTION), []


def command_class(name: str) -> Any:
    """The dataclass of a command."""
    module, _, kind = COMMANDS[name].partition(".")
    return getattr(importlib.import_module(f"ssni_jax.commands.{module}"), kind)
