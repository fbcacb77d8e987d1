"""The one error of the readers, and how text from a file that may be hostile is shown to a person."""


class CheckpointError(ValueError):
    """A file that cannot be read as a checkpoint.

    Readers raise it with a predicate ("is cut short: download it again"); `read_checkpoint` puts the file before it.
    """


CUT_SHORT = "is cut short: download it again"


def damaged(reason: str) -> CheckpointError:
    """The error of a file whose parts contradict each other."""
    return CheckpointError(f"is damaged: {reason}; download it again")


def shown(value: object, limit: int = 80) -> str:
    """`value` in printable ASCII and at most `limit` characters, so that no file can steer a terminal.

    Containers show their kind alone: they may be nested too deep to print.
    """
    text = str(value) if isinstance(value, str | int | float | Exception | None) else f"a {type(value).__name__}"
    ascii_only = text[: limit + 1].encode("ascii", "backslashreplace").decode()
    plain = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in ascii_only)
    return plain if len(plain) <= limit else plain[:limit] + "..."
