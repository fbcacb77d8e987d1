"""`ssni convert`."""

import ast
import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import tyro
from rich.console import Console

from ssni_jax.convert import nonfinite, read_checkpoint, save_network
from ssni_jax.convert.families import FAMILIES, family_named
from ssni_jax.convert.family import Converted, Family, convert
from ssni_jax.convert.hints import hint
from ssni_jax.convert.reading.errors import shown
from ssni_jax.convert.selection import Choice, Selection, listed, state_dict
from ssni_jax.convert.source import file_facts
from ssni_jax.core.describe import describe
from ssni_jax.files.names import check_file_name
from ssni_jax.networks.classifier import role_of

ENDINGS = (".pth", ".pt", ".th", ".pkl", ".ckpt", ".bin", ".model", ".safetensors", ".msgpack")
INDEX = ".index.json"


@dataclasses.dataclass(frozen=True)
class Convert:
    """Turn a released checkpoint into safetensors and JSON, which every config can name as Pretrained("DIR/NAME").

    The file is read without running anything in it; its content decides what it is, not its ending. The network's shape
    follows from the names and sizes of its tensors; what they do not show is set with --set, under the name that the
    original code has for it. What was assumed is printed, and recorded in the JSON.
    """

    takes_overrides: ClassVar[bool] = False
    file: tyro.conf.Positional[Path | None] = None
    """The checkpoint (.pth, .pt, .pkl, .safetensors, msgpack), or the index of one in several files, or its folder."""
    family: str | None = None
    """The project that the checkpoint comes from; --list shows all."""
    out: Path | None = None
    """The directory to write into."""
    name: str | None = None
    """Name of the stored network; that of the file if not given."""
    weights: Literal["ema", "raw"] = "ema"
    """Averaged weights where the file has them, or those of the last step."""
    key: str = ""
    """Take the weights at this key of the file, such as state_dict or callbacks.EMA.state_dict."""
    prefix: str = ""
    """Take the tensors whose names begin with this, such as encoder., and drop it from their names."""
    backbone: Path | None = None
    """A second file whose tensors are added: the torchvision network under the heads of LPIPS."""
    set: tuple[str, ...] = ()
    """Settings as KEY=VALUE, such as num_head_channels=64, or "mean=(0.5,0.5,0.5)" crop=224 of a classifier."""
    list: bool = False
    """Show the families and their settings, and stop."""

    def run(self, overrides: Sequence[str]) -> None:
        """Converts one file, or lists the families."""
        if self.list:
            show_families()
            return
        if self.file is None or self.family is None or self.out is None:
            raise ValueError("say what to convert: `ssni convert FILE --family NAME --out DIR`; --list has the names.")
        name = check_file_name("--name", stem(self.file) if self.name is None else self.name)
        family, options = family_named(self.family), settings(self.set)
        converted = self.converted(self.file, family, options)
        path = self.out / name
        source = {**file_facts(self.file, self.backbone), "preferred_weights": self.weights, **taken(converted)}
        source |= {"options": describe(options), "assumed": describe(converted.assumed)}
        save_network(path, converted.arrays, {"name": path.name, **described(converted), **origin(family, source)})
        print(f"{self.file.name}: {summary(converted)}.")
        print(*report(converted, is_chosen=bool(self.weights == "raw" or self.key or self.prefix)), sep="\n")
        print(f"Wrote {path}.safetensors and {path}.json; use it in a config as Pretrained({str(path)!r}).")

    def converted(self, file: Path, family: Family, options: Mapping[str, Any]) -> Converted:
        """The network in the file; a refusal names the file, and what its names would fit."""
        choice = Choice(self.weights, self.key, self.prefix)
        tree = read_checkpoint(file)
        try:
            backbone = {} if self.backbone is None else state_dict(read_checkpoint(self.backbone))
            converted = convert(family, tree, options, choice, backbone)
        except (ValueError, KeyError, IndexError) as error:
            reason = error if isinstance(error, ValueError) else f"its tensors are of another network ({error!r})"
            raise ValueError(f"{file} is not read as {family.name}: {reason}.{hint(family, tree, choice)}") from None
        broken = nonfinite(converted.arrays)
        if broken:
            raise ValueError(f"{file} holds NaN or infinity in {', '.join(broken)}: take an earlier checkpoint.")
        return converted


def stem(file: Path) -> str:
    """The file's name without a known ending; other dots belong to it."""
    name = file.resolve().name if file.is_dir() else file.name.removesuffix(INDEX)
    return next((name.removesuffix(ending) for ending in ENDINGS if name.endswith(ending)), name)


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


def described(converted: Converted) -> dict[str, Any]:
    """The network and what stands around it, as the JSON holds them."""
    role = role_of(converted.config, converted.around)
    around = {"coefficients": None, "preprocessing": None, role: describe(converted.around)}
    return {"architecture": describe(converted.config), **around}


def taken(converted: Converted) -> dict[str, Any]:
    """Which weights of the file these are, for the JSON."""
    _, weights, key, prefix, _, _, borrowed = converted.selection
    return {"weights": weights, "key": key, "prefix": prefix, "statistics_of_raw_weights": len(borrowed)}


def origin(family: Family, source: Mapping[str, Any]) -> dict[str, Any]:
    """Where the weights come from."""
    today = datetime.date.today().isoformat()
    return {"family": family.name, "source": source, "licence": family.licence, "date": today}


def summary(converted: Converted) -> str:
    """One line on what was found."""
    n_values = sum(array.size for array in converted.arrays.values())
    around = "" if converted.around is None else f" behind {type(converted.around).__name__}"
    return f"{type(converted.config).__name__.removesuffix('Config')} with {n_values / 1e6:.1f} M values{around}"


def report(converted: Converted, *, is_chosen: bool) -> Iterator[str]:
    """What was taken of the file and what was not, and what was assumed, one line each."""
    fallback = "" if is_chosen or converted.selection.weights == "ema" else ": the file has no averaged ones"
    yield f"Weights: {weights_of(converted.selection)}{fallback}."
    _, _, _, prefix, aside, left_out, borrowed = converted.selection
    if borrowed:
        names = f"{len(borrowed)} tensors ({listed(borrowed)})"
        yield f"Statistics that the average lacks are those of the weights of the last step: {names}."
    if left_out:
        names = f"{len(left_out)} tensors ({listed(left_out)})"
        yield f"Left out, because their names do not begin with {prefix!r}: {names}."
    if aside:
        yield f"Set aside: {listed(aside)}."
    if converted.assumed:
        assumed = ", ".join(f"{name}={str(value).replace(' ', '')}" for name, value in converted.assumed.items())
        yield f"Assumed, not stated by the file: {assumed}; change with --set KEY=VALUE."


def weights_of(selection: Selection) -> str:
    """Which of a file's weights were taken."""
    place = f" at {shown(selection.key)}" if selection.key else ""
    below = f", names that begin with '{shown(selection.prefix)}'" if selection.prefix else ""
    kind = "averaged (ema)" if selection.weights == "ema" else "not averaged (raw)"
    return f"{kind}{place}{below}"


def show_families() -> None:
    """Every family: whose checkpoints, what for, under which licence, and its settings."""
    console = Console(soft_wrap=True, highlight=False)
    for family in FAMILIES.values():
        console.print(f"[bold]{family.name}[/bold]: {family.purpose}")
        console.print(f"  checkpoints  {family.checkpoints}", markup=False)
        console.print(f"  licence      {family.licence}", markup=False)
        values = ", ".join(f"{key}={value}" for key, value in family.options.items())
        console.print(f"  settings     {values or 'none'}", markup=False)
