"""Compares every case of a folder of reference numbers with this package; exit code 1 if one fails.

    python tests/parity.py DIR              every case
    python tests/parity.py DIR --only jcm   those whose name contains "jcm"

DIR holds a folder a network (manifest.json, io.npz), methods/*.npz, and real/*.npz, whose weights and images lie in
DIR/../data. All settings come from the cases. --bfloat16 adds the error of bfloat16 against float32, --table prints
Markdown.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.reference import containers, methods, networks, real
from tests.reference.case import Check


def main() -> int:
    """Prints one line an output as it is known; 1 if any is off or nothing was found."""
    options = parser().parse_args()
    if not options.folder.is_dir():
        print(f"There is no folder {options.folder}: give the one that holds the cases.", file=sys.stderr)
        return 2
    row = (lambda cells: "| " + " | ".join(cells) + " |") if options.table else plain
    print(row(COLUMNS) + ("\n" + row(["---"] * len(COLUMNS)) if options.table else ""))
    done = []
    for check in checks(options.folder, options.only, options.bfloat16):
        done.append(check)
        print(row(cells(check)), flush=True)
    failed = sum(not check.passed for check in done)
    print(f"\n{len(done)} outputs compared, {failed} failed.", *unknown_methods(options.folder, options.only))
    return 1 if failed or not done else 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("folder", type=Path, metavar="DIR")
    made.add_argument("--only", default="", metavar="TEXT", help="only cases whose name contains this")
    made.add_argument("--bfloat16", action="store_true", help="also run networks in bfloat16, against float32")
    made.add_argument("--table", action="store_true", help="print a Markdown table")
    return made


def checks(folder: Path, only: str, bfloat16: bool) -> Iterator[Check]:
    """All outputs of all cases, the full-size networks after the others."""
    cases = sorted(folder.glob("*/manifest.json"), key=lambda path: ("full" in path.parent.name, path.parent.name))
    for path in cases:
        if only in path.parent.name:
            yield from networks.checks(path.parent, bfloat16=bfloat16)
            yield from containers.checks(path.parent)
    for file in sorted(folder.glob("methods/*.npz")):
        if only in f"methods/{file.stem}" and file.stem in methods.METHODS:
            yield from methods.checks(file)
    for file in sorted(folder.glob("real/*.npz")):
        if only in f"real/{file.stem}":
            yield from real.checks(file, folder.parent / "data")


def unknown_methods(folder: Path, only: str) -> Iterator[str]:
    """Which methods of the folder this package does not have yet."""
    names = [file.stem for file in sorted(folder.glob("methods/*.npz")) if only in f"methods/{file.stem}"]
    missing = [name for name in names if name not in methods.METHODS]
    if missing:
        yield f"Not compared, because the method is not in this package: {', '.join(missing)}."


COLUMNS = ("case", "output", "M values", "max error", "relative", "tolerance", "bfloat16", "verdict")


def cells(check: Check) -> list[str]:
    """A check as text, in the order of the columns."""
    return [
        check.case,
        check.output,
        f"{check.params / 1e6:.2f}" if check.params else "",
        f"{check.max_absolute:.1e}",
        f"{check.relative:.1e}",
        f"{check.tolerance:.0e}",
        "" if check.bfloat16 is None else f"{check.bfloat16:.1e}",
        "ok" if check.passed else "FAILED",
    ]


def plain(cells: Sequence[str]) -> str:
    """Columns that line up in a terminal."""
    return "".join(
        cell.ljust(width) for cell, width in zip(cells, (34, 34, 10, 13, 10, 11, 10, 8), strict=True)
    ).rstrip()


if __name__ == "__main__":
    raise SystemExit(main())
