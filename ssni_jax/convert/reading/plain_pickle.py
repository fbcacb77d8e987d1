"""A pickle by itself, such as EDM's network snapshots: storages stand inside it as small files of PyTorch's."""

import io
import mmap
from typing import Any

from ssni_jax.convert.reading import torch_legacy
from ssni_jax.convert.reading.allowance import Allowance
from ssni_jax.convert.reading.errors import CheckpointError, damaged
from ssni_jax.convert.reading.pickles import run
from ssni_jax.convert.reading.tensors import Content, Storage
from ssni_jax.convert.reading.vocabulary import Word
from ssni_jax.core.types import Tree

NESTED = "torch.storage._load_from_bytes"


def read(content: Content, allowance: Allowance) -> Tree:
    """The object of the pickle, persistent classes as {"class_name", "state"}."""

    def load(raw: Any) -> Storage:
        if not isinstance(raw, bytes) or not raw.startswith(torch_legacy.SIGNATURE):
            raise damaged("a storage inside its pickle is no PyTorch file")
        found = torch_legacy.read(raw, allowance, {NESTED: Word(NESTED, refuse_nesting)})
        if not isinstance(found, Storage):
            raise damaged("a PyTorch file inside its pickle holds something else than a storage")
        return found

    stream = content if isinstance(content, mmap.mmap) else io.BytesIO(content)
    stream.seek(0)
    return run(stream, allowance, words={NESTED: Word(NESTED, load)})


def refuse_nesting(*_: Any) -> None:
    """A file in a file is how storages are pickled; a third one is a trick."""
    raise CheckpointError("holds PyTorch files inside PyTorch files inside a pickle, which no weights need")
