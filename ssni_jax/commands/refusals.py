"""Errors as one sentence that a user can act on: a path that cannot be used, and what a config file raised.

Nothing heavy is imported: the command line needs these before JAX.
"""

import errno
import os
from pathlib import Path
from types import TracebackType

CONFIG = "<run_path>"  # the module of what a config file defines; it names classes in identities
LONGEST = 300  # characters of a foreign message
DEBUG = "--debug shows the traceback"

PATHS = {
    errno.ENOENT: "There is no {path}: check the path.",
    errno.EACCES: "{path} may not be opened by this user: change its permissions, or give another path.",
    errno.EPERM: "{path} may not be changed by this user: change its permissions, or give another path.",
    errno.EISDIR: "{path} is a folder, and a file is needed: give the path of a file.",
    errno.ENOTDIR: "{path} cannot exist, because a part of it is a file and no folder: check the path.",
    errno.EEXIST: "{path} exists already: move it away, or give another path.",
    errno.ENOTEMPTY: "{path} is a folder that is not empty: move its files away, or give another path.",
    errno.ENOSPC: "The disk of {path} is full: free space on it, and run the same command again.",
    errno.EDQUOT: "The disk quota of {path} is used up: free space, and run the same command again.",
    errno.EROFS: "{path} lies on a disk that cannot be written: give another path.",
    errno.ENAMETOOLONG: "The name {path} is too long for its disk: give a shorter one.",
    errno.ELOOP: "{path} is a link that leads back to itself: remove it, or give another path.",
    errno.EMFILE: "{path} cannot be opened beside so many open files: raise the limit with `ulimit -n`.",
}
UNKNOWN = "{path} cannot be used ({reason}): check the path and its disk, and run the same command again."


class ConfigError(ValueError):
    """What a config file raised, as a sentence that names the file and its line."""


def sentence(error: BaseException) -> str:
    """The sentence of a refusal; an error of the operating system gets one that names the path and the remedy."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    path = "A file" if error.filename is None else shortened(os.fsdecode(_name(error.filename)))
    return PATHS.get(error.errno, UNKNOWN).format(path=path, reason=error.strerror)


def refused_config(config: Path, error: BaseException) -> ConfigError:
    """What reading a config file raised, with its line if it has one."""
    located = in_config(error)
    if located is not None:
        return located
    if isinstance(error, SyntaxError):
        line = f"line {error.lineno}: " if error.lineno else ""
        return ConfigError(f"{config} is not valid Python ({line}{shortened(error.msg)}).")
    if isinstance(error, OSError):
        return ConfigError(sentence(error))
    return ConfigError(f"{config} cannot be read as Python ({foreign(error)}): give a .py file; {DEBUG}.")


def in_config(error: BaseException) -> ConfigError | None:
    """The error with the file and the line of the config that it came through; None where it came through none."""
    place = _innermost(error.__traceback__)
    if place is None or isinstance(error, ConfigError):
        return None
    file, line, is_own = place
    if is_own and isinstance(error, ValueError | OSError):
        return ConfigError(f"{file}, line {line}: {sentence(error)}")
    if isinstance(error, OSError) and error.errno is not None:
        return ConfigError(f"{file}, line {line}: {sentence(error)}")
    if isinstance(error, SystemExit):
        return ConfigError(f"{file}, line {line}: a config must not end the program (exit code {error.code}): {_fix()}")
    return ConfigError(f"{file}, line {line}: {foreign(error)}: {_fix()}")


def foreign(error: BaseException) -> str:
    """An error that is no sentence of this library, on one line."""
    message = shortened(str(error)).rstrip(".")
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def shortened(text: str) -> str:
    """The text on one line, without its middle where it is very long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


def _fix() -> str:
    return f"correct that line; {DEBUG}."


def _name(filename: str | bytes | int) -> str | bytes:
    return f"file {filename}" if isinstance(filename, int) else filename


def _innermost(trace: TracebackType | None) -> tuple[str, int, bool] | None:
    """File and line of the last frame that is code of a config, and whether this library raised the error."""
    place, is_own = None, False
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        if module == CONFIG:
            place = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        is_own = module.startswith("ssni_jax.")
        trace = trace.tb_next
    return None if place is None else (*place, is_own)
