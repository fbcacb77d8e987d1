"""Array aliases shared by every floor: shapes live here, units and ranges in the docstrings that use them."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float, Int, Key, PyTree, Shaped

Keys = Key[Array, " B"]
Images = Float[Array, "B H W C"]
Level = Float[Array, " B"]
Levels = Float[Array, "N B"]
Labels = Int[Array, " B"]
Logits = Float[Array, "B K"]
Rows = Shaped[Array, "B ..."]
State = PyTree[Rows]  # what a walk moves: images, or what a step remembers with them
Tree = Any
DenoiseFn = Callable[[Images, Level], Images]
PredictFn = Callable[[Keys, Images], Logits]
