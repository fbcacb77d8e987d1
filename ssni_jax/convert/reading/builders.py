"""What the words of a vocabulary build, from arguments that are not to be trusted."""

from typing import Any

from ssni_jax.convert.reading.containers import Attributed, Module, Namespace
from ssni_jax.convert.reading.errors import damaged, shown
from ssni_jax.convert.reading.tensors import Tensor, tensor


def ordered_dict(pairs: Any = ()) -> Attributed:
    """An OrderedDict, empty or from a list of pairs."""
    if not isinstance(pairs, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
        raise damaged("an OrderedDict is not made from pairs")
    if len({key for key, _ in pairs if isinstance(key, str)}) != len(pairs):
        raise damaged("an OrderedDict has a key twice, or one that is no text")
    return Attributed(pairs)


def namespace(*args: Any) -> Namespace:
    """An empty namespace; its content comes as items or as state."""
    if args:
        raise damaged("a namespace is made from something")
    return Namespace()


def default_dict(factory: Any = None) -> Attributed:
    """An empty defaultdict, as a plain dictionary; what would fill it is forgotten."""
    return Attributed()


def path(*parts: Any) -> str:
    """A pathlib path as text."""
    if not all(isinstance(part, str) for part in parts):
        raise damaged("a path is not made from text")
    return shown("/".join(parts))


def never_called(*args: Any) -> Any:
    """A type that files name, as what fills a defaultdict, and have no reason to call."""
    raise damaged("a plain type is called")


def rebuilt(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """torch's `_rebuild_tensor` and `_rebuild_tensor_v2`; gradients and hooks are left behind."""
    return tensor(storage, offset, size, stride)


def parameter(found: Any, *_: Any) -> Any:
    """torch's `_rebuild_parameter`: the tensor in it."""
    if not isinstance(found, Tensor):
        raise damaged("a parameter holds no tensor")
    return found


def persistent_object(meta: Any) -> Module:
    """A persistent class of StyleGAN's and EDM's family; its source text is dropped unread."""
    if not isinstance(meta, dict) or not isinstance(meta.get("class_name"), str):
        raise damaged("a persistent object has no class name")
    return Module(meta["class_name"], meta.get("state"))


def size(numbers: Any = ()) -> tuple:
    """torch.Size as a tuple."""
    return tuple(listed(numbers))


def listed(items: Any = ()) -> list:
    """The items of a set, in the order of the file; nothing is hashed."""
    if not isinstance(items, list | tuple):
        raise damaged("a set is not made from a list")
    return list(items)


def device(kind: Any = "", index: Any = None) -> str:
    """torch.device as text, "cuda:0"."""
    if not isinstance(kind, str):
        raise damaged("a device has no name")
    return shown(kind if index is None else f"{shown(kind)}:{shown(index)}")


def complex_number(real: Any, imaginary: Any = 0.0) -> complex:
    """builtins.complex of two floats."""
    if not isinstance(real, float) or not isinstance(imaginary, float):
        raise damaged("a complex number is not made from two floats")
    return complex(real, imaginary)


def no_bytes(*args: Any) -> bytes:
    """builtins.bytes without arguments, as protocol 2 writes b""."""
    if args:
        raise damaged("bytes are made from something")
    return b""
