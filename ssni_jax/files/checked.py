"""JSON files whose content is compared with a TypedDict: people edit them, and disks damage them."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssni_jax.core.annotations import Misfit, misfit
from ssni_jax.files.atomic import REMEDY, plain, read_json, write_json

SEAL = "digest"


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file with a digest of its content, by which `read_checked` sees later changes."""
    write_json(path, sealed(content))


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content, as JSON spells it, with its digest."""
    kept = {name: value for name, value in plain(content).items() if name != SEAL}
    return {**kept, SEAL: hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]}


def is_sealed(content: Mapping[str, Any]) -> bool:
    """Whether the content is what was written; one without a digest counts as such."""
    return SEAL not in content or sealed(content)[SEAL] == content[SEAL]


def read_checked(path: Path, kind: Any, remedy: str = REMEDY) -> dict[str, Any]:
    """The content of a JSON file, refused by name where it is not what `kind`, a TypedDict, says."""
    return checked(path, read_json(path, remedy), kind, remedy)


def checked(path: Path, content: Any, kind: Any, remedy: str = REMEDY) -> dict[str, Any]:
    """The content of the JSON file `path`, once it is read, refused as in `read_checked`."""
    wrong = misfit(content, kind, "") if isinstance(content, dict) else Misfit("its content", kind, content)
    if wrong is not None:
        raise ValueError(f"{path} is damaged ({wrong}): {remedy}.")
    if not is_sealed(content):
        raise ValueError(f"{path} was changed after it was written, and its digest no longer fits: {remedy}.")
    return content
