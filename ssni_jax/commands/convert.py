"""`ssni convert`."""

import ast
import dataclasses
import datetime
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import tyro
from rich.console import Console

from ssni_jax.convert import nonfinite, read_checkpoint, save_network
from ssni_jax.convert.families import FAMILIES, family_named, fitting
from ssni_jax.convert.family import Converted, Family, convert, state_dict
from ssni_jax.core.describe import describe
from ssni_jax.core.types import Tree
from ssni_jax.networks import Preprocessing

ENDINGS = (".pth", ".pt", ".th", ".pkl", ".ckpt", ".bin", ".model", ".safetensors", ".msgpack")


@dataclasses.dataclass(frozen=True)
class Convert:
    """Turn a released checkpoint into safetensors and JSON, which every config can name as Pretrained("DIR/NAME").

    The file is read without running anything in it. The network's shape follows from the names and sizes of its
    tensors; what they do not show is set with --set, under the name that the original code has for it.
    """

    takes_overrides: ClassVar[bool] = False
    file: tyro.conf.Positional[Path | None] = None
    """The checkpoint: .pth, .pt, .pkl, .safetensors or flax msgpack; its content decides, not its ending."""
    family: str | None = None
    """The project that the checkpoint comes from; --list shows all."""
    out: Path | None = None
    """The directory to write into."""
    name: str | None = None
    """Name of the stored network; that of the file if not given."""
    weights: Literal["ema", "raw"] = "ema"
    """Averaged weights where the file has them, or those of the last step."""
    backbone: Path | None = None
    """A second file whose tensors are added: the torchvision network under the heads of LPIPS."""
    set: tuple[str, ...] = ()
    """Settings of the original code as KEY=VALUE, such as num_head_channels=64."""
    list: bool = False
    """Show the families and their settings, and stop."""

    def run(self, overrides: Sequence[str]) -> None:
        """Converts one file, or lists the families."""
        if self.list:
            show_families()
            return
        if self.file is None or self.family is None or self.out is None:
            raise ValueError("say what to convert: `ssni convert FILE --family NAME --out DIR`; --list has the names.")
        family, options = family_named(self.family), settings(self.set)
        tree = with_backbone(read_checkpoint(self.file), self.backbone)
        converted = refusing(self.file, family, tree, options, self.weights)
        path = self.out / (self.name or stem(self.file))
        about = {"name": path.name, **described(converted), **origin(family, self.file, options, self.weights)}
        save_network(path, converted.arrays, about)
        print(f"{self.file.name}: {summary(converted)}.")
        print(f"Wrote {path}.safetensors and {path}.json; use it in a config as Pretrained({str(path)!r}).")


def stem(file: Path) -> str:
    """The file's name without a known ending; other dots belong to it."""
    return file.stem if file.suffix in ENDINGS else file.name


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE pairs as Python values; what is no literal is a string."""
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise ValueError(f"--set takes KEY=VALUE, not {wrong[0]!r}.")
    return {key: _value(text) for key, text in (pair.split("=", 1) for pair in pairs)}


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def with_backbone(tree: Tree, backbone: Path | None) -> Tree:
    """The tensors of both files together."""
    if backbone is None:
        return tree
    return {**state_dict(read_checkpoint(backbone)), **state_dict(tree)}


def refusing(file: Path, family: Family, tree: Tree, options: Mapping[str, Any], weights: str) -> Converted:
    """The converted network; a refusal names the file, and the families that its names do fit."""
    try:
        converted = convert(family, tree, options, weights)
    except ValueError as error:
        others = [name for name in fitting(tree) if name != family.name]
        hint = f" Its names fit --family {' or '.join(others)}." if others else ""
        raise ValueError(f"{file} is not read as {family.name}: {error}.{hint}") from None
    broken = nonfinite(converted.arrays)
    if broken:
        raise ValueError(f"{file} holds NaN or infinity in {', '.join(broken)}: take an earlier checkpoint.")
    return converted


def described(converted: Converted) -> dict[str, Any]:
    """The network and what stands around it, as the JSON holds them."""
    role = "preprocessing" if isinstance(converted.around, Preprocessing) else "coefficients"
    around = {"coefficients": None, "preprocessing": None, role: describe(converted.around)}
    return {"architecture": describe(converted.config), **around}


def origin(family: Family, file: Path, options: Mapping[str, Any], weights: str) -> dict[str, Any]:
    """Where the weights come from."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {
        "family": family.name,
        "source": {"file": file.name, "sha256": digest, "preferred_weights": weights, "options": describe(options)},
        "licence": family.licence,
        "date": datetime.date.today().isoformat(),
    }


def summary(converted: Converted) -> str:
    """One line on what was found."""
    n_values = sum(array.size for array in converted.arrays.values())
    around = "" if converted.around is None else f" behind {type(converted.around).__name__}"
    return f"{type(converted.config).__name__.removesuffix('Config')} with {n_values / 1e6:.1f} M values{around}"


def show_families() -> None:
    """Every family: whose checkpoints, what for, under which licence, and its settings."""
    console = Console(soft_wrap=True, highlight=False)
    for family in FAMILIES.values():
        console.print(f"[bold]{family.name}[/bold]: {family.purpose}")
        console.print(f"  checkpoints  {family.checkpoints}", markup=False)
        console.print(f"  licence      {family.licence}", markup=False)
        shown = ", ".join(f"{key}={value}" for key, value in family.options.items())
        console.print(f"  settings     {shown or 'none'}", markup=False)
