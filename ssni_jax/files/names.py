"""Names that become files in a directory that a user chose."""

LONGEST = 200  # bytes; endings are added to it, and disks take 255


def check_file_name(what: str, name: str) -> str:
    """The name, refused where it is none or would leave the directory; `what` says where it was given."""
    is_plain = name not in ("", ".", "..") and not {"/", "\\", "\0"} & {*name} and name.isprintable()
    if not is_plain or len(name.encode(errors="replace")) > LONGEST:
        shown = name if len(name) <= LONGEST else f"{name[:LONGEST]}..."
        raise ValueError(
            f"{what} must be a file name of at most {LONGEST} bytes, without / or \\, got {shown!r}: "
            "give a plain name, and the directory with the flag for it."
        )
    return name
