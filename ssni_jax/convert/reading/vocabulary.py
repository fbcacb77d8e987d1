"""The names a checkpoint may speak. Each stands for a function of ours; none is ever imported."""

import dataclasses
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ssni_jax.convert.reading import builders, numpy_objects
from ssni_jax.convert.reading.containers import Module
from ssni_jax.convert.reading.errors import CheckpointError, damaged, shown
from ssni_jax.convert.reading.tensors import STORED


@dataclasses.dataclass(frozen=True, eq=False)
class Word:
    """A global of a pickle: `make` builds what calling it would have built."""

    name: str
    make: Callable[..., Any]


@dataclasses.dataclass(frozen=True, eq=False)
class StorageType:
    """torch's FloatStorage and its like; `element` is a key of `STORED`."""

    element: str


def refuse(name: str) -> CheckpointError:
    """The error that names a global outside the vocabulary."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("__builtin__", "copy_reg", "commands"):
        return CheckpointError(f"asks to run {shown(name)}, which no weights need: it may be malicious; do not load it")
    if re.fullmatch(r"torch\..*(q(u?int|tensor)|quantiz).*", name, re.IGNORECASE):
        return CheckpointError(
            f"holds quantized tensors ({shown(name)}): convert the float checkpoint it was made from"
        )
    if re.fullmatch(r"(\w+\.)+_*[A-Z]\w*", name, re.ASCII):
        return CheckpointError(
            f"holds a whole pickled object of class {shown(name)}, which is never loaded: if you trust it, load it "
            "where it was made and save its state_dict() instead, torch.save(model.state_dict(), 'weights.pth')"
        )
    return CheckpointError(
        f"asks for {shown(name)}, which is not among the names that hold weights: if you trust it, load it "
        "where it was made and save model.state_dict() alone"
    )


def look_up(module: Any, name: Any, more: Mapping[str, Any]) -> Any:
    """What a global stands for here or in `more`: a word, a storage type, or the name of a dtype."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise damaged("a global has a name that is no text")
    full = f"{module}.{name}"
    known = more.get(full) or WORDS.get(full)
    if known is not None:
        return known
    if re.fullmatch(r"torch\.nn\.modules\.[a-z_]{1,40}\.[A-Z]\w{1,60}", full, re.ASCII):
        return Word(full, lambda *args: Module(full))
    raise refuse(full)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": builders.ordered_dict,
    "argparse.Namespace": builders.namespace,
    "dnnlib.util.EasyDict": builders.namespace,
    "ml_collections.config_dict.config_dict.ConfigDict": builders.namespace,
    "torch._utils._rebuild_tensor": builders.rebuilt,
    "torch._utils._rebuild_tensor_v2": builders.rebuilt,
    "torch._utils._rebuild_parameter": builders.parameter,
    "torch._utils._rebuild_parameter_with_state": builders.parameter,
    "torch_utils.persistence._reconstruct_persistent_obj": builders.persistent_object,
    "torch.Size": builders.size,
    "torch.device": builders.device,
    "numpy.dtype": numpy_objects.Dtype,
    "numpy.ndarray": numpy_objects.EmptyArray,
    "_codecs.encode": numpy_objects.latin1,
    "collections.defaultdict": builders.default_dict,
    **{f"pathlib.{kind}": builders.path for kind in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")},
    **{f"builtins.{kind}": builders.never_called for kind in ("dict", "list", "int", "float", "str")},
    "builtins.set": builders.listed,
    "builtins.frozenset": builders.listed,
    "builtins.complex": builders.complex_number,
    "builtins.bytes": builders.no_bytes,
}
MULTIARRAY = {"_reconstruct": numpy_objects.EmptyArray, "scalar": numpy_objects.scalar}
STORAGES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "BFloat16": "bfloat16",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}
ALIASES = {"half": "float16", "float": "float32", "double": "float64", "long": "int64", "int": "int32"}
WORDS: dict[str, Word | StorageType | str] = {
    **{name: Word(name, make) for name, make in FUNCTIONS.items()},
    **{name.replace("builtins", "__builtin__"): Word(name, make) for name, make in FUNCTIONS.items()},
    **{f"numpy.{core}.multiarray.{n}": Word(n, make) for core in ("core", "_core") for n, make in MULTIARRAY.items()},
    **{f"numpy.{core}.numeric._frombuffer": Word("", numpy_objects.from_buffer) for core in ("core", "_core")},
    **{f"torch.{cuda}{n}Storage": StorageType(element) for cuda in ("", "cuda.") for n, element in STORAGES.items()},
    "torch.storage.UntypedStorage": StorageType("uint8"),
    **{f"torch.{name}": f"torch.{name}" for name in STORED},
    **{f"torch.{alias}": f"torch.{name}" for alias, name in ALIASES.items()},
}
