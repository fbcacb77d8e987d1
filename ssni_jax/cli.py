"""The command line: parses, runs one command, and turns a refused input into one sentence and exit code 2.

Signals are handled before anything heavy is imported, so commands and JAX are imported inside functions.
"""

import contextlib
import importlib
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ssni_jax import __version__
from ssni_jax.commands.arguments import check_independent, check_name, is_independent, placed
from ssni_jax.commands.overview import page
from ssni_jax.commands.refusals import in_config, sentence
from ssni_jax.lifecycle import AGAIN, REFUSED, SINGLE, PeerFailed, Stopper, several
from ssni_jax.lifecycle.compilers import prepare_compilers, targets_in
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
    "fetch-list": "fetch_list.FetchList",
    "convert": "convert.Convert",
    "merge": "merge.Merge",
    "status": "report.Status",
    "report": "report.Report",
}
"""The module in `ssni_jax.commands` and the class of each command."""
ALONE = ("compare", "convert", "fetch-list", "merge", "status", "report")
"""The commands that look at files: they join no other process and need no supervisor, also inside a larger job."""
MOST_CPU_DEVICES = 4
ESTIMATE = "--estimate"
DEBUG, TRACEBACK = "--debug", "SSNI_TRACEBACK"


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `ssni`; the exit codes are those of `ssni_jax.lifecycle`, and 0 when the command is complete."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    arguments = [argument for argument in given if argument != DEBUG]
    show_page(arguments)
    if is_independent(arguments):
        os.environ[SINGLE] = "1"
    environment = {**os.environ, **({TRACEBACK: "1"} if DEBUG in given else {})}
    if ESTIMATE in arguments:
        prepare_compilers(targets_in(arguments), os.environ)
    if arguments[0] not in ALONE and several(environment):
        supervise(environment)  # goes on in a child process
    with Stopper(shlex.join(["ssni", *arguments])) as stopper, stopper.nothing_to_lose():
        try:
            run(arguments, stopper)
        except SystemExit as end:
            if in_config(end) is None:
                raise
            leave(end, stopper, bool(environment.get(TRACEBACK)))
        except BrokenPipeError:
            leave_silently()
        except Exception as error:
            leave(error, stopper, bool(environment.get(TRACEBACK)))


def show_page(arguments: Sequence[str]) -> None:
    """Prints the list of commands or the version where no command is asked for, and ends."""
    if arguments and arguments[0] == "--version":
        print(f"ssni {__version__}")
    elif not arguments or arguments[0] in ("-h", "--help"):
        print(page(COMMANDS))
    else:
        return
    raise SystemExit(0)


def run(arguments: Sequence[str], stopper: Stopper) -> None:
    """Parses the command, joins the other processes of the job if there are any, and runs it."""
    command, overrides = parse(arguments)
    keep_compiled_programs()
    if arguments[0] not in ALONE:
        from ssni_jax.dist.processes import start_processes

        start_processes()
    if not has_joined():
        if arguments[0] != "train":  # a training step has no loop
            divide_the_cpu()
        command.run(overrides)
        return
    from ssni_jax.dist.peers import ending_with_peers

    stopper.arm()
    with ending_with_peers():
        command.run(overrides)


def leave(error: BaseException, stopper: Stopper, shows_traceback: bool) -> NoReturn:
    """Ends the process for an error, in one sentence if the user can do something about it."""
    is_joined = has_joined()
    if is_joined:
        leave_if_lost(error, stopper, shows_traceback)
    located = in_config(error)
    is_peers = isinstance(error, PeerFailed)
    is_refusal = located is not None or isinstance(error, ValueError | OSError)
    is_first = not is_joined or (not is_peers and is_first_to_fail())
    if shows_traceback or not (is_refusal or is_peers):
        traceback.print_exc()
    elif is_refusal and is_first:  # what all processes refuse is said once
        print(f"ssni: {sentence(located or error)}", file=sys.stderr, flush=True)
    code = REFUSED if is_refusal or is_peers else 1
    if isinstance(error, TimeoutError | ConnectionError):  # another process or a store did not answer in time
        code = AGAIN
    if is_joined:
        from ssni_jax.dist.peers import leave_together

        leave_together(code)
    raise SystemExit(code) from None


def leave_silently() -> NoReturn:
    """Ends the process because whoever reads its output, such as `head`, has enough."""
    with contextlib.suppress(OSError, ValueError):  # what is still buffered has no reader either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(128 + signal.SIGPIPE)


def leave_if_lost(error: BaseException, stopper: Stopper, shows_traceback: bool) -> None:
    """Ends this process without waiting for the others, if the error is that of a process that is gone."""
    from ssni_jax.dist import peers

    if peers.is_lost(error):
        if shows_traceback:
            traceback.print_exc()
        peers.leave_without_peer(error, is_stopping=stopper.asked is not None)


def is_first_to_fail() -> bool:
    """Whether no other process of the job has reported a failure; this one has, from now on."""
    from ssni_jax.dist.peers import report_failure

    return report_failure()


def has_joined() -> bool:
    """Whether this process has joined others; without JAX it cannot have."""
    if "jax" not in sys.modules:
        return False
    from ssni_jax.dist.service import is_joined

    return is_joined()


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
    name, *flags = arguments
    check_name(name, COMMANDS)
    from ssni_jax.commands.parsing import parsed

    chosen = command_class(name)
    check_independent(name, hasattr(chosen, "share"), flags)
    if chosen.takes_overrides:
        unused = ["--workdir", "."] if "--fields" in flags and "--workdir" not in flags else []
        command, overrides = parsed(  # listing fields needs no directory
            chosen, args=[*flags, *unused], prog=f"ssni {name}", return_unknown_args=True
        )
    else:
        command, overrides = parsed(chosen, args=flags, prog=f"ssni {name}"), []
    return placed(command), overrides


def command_class(name: str) -> Any:
    """The dataclass of a command."""
    module, _, kind = COMMANDS[name].partition(".")
    return getattr(importlib.import_module(f"ssni_jax.commands.{module}"), kind)
