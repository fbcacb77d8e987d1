"""Numbers as people write them on a command line: 0.03, 8/255, 1e-3."""

import re
from typing import Any

import tyro

FRACTION = re.compile(r"\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*/\s*([\d.]+)\s*", re.IGNORECASE)
NUMBERS = tyro.constructors.ConstructorRegistry()
"""What `tyro.cli` is given, so that a field of type float takes a fraction."""


def as_number(text: str) -> float:
    """The number that a text means; ValueError where it means none."""
    fraction = FRACTION.fullmatch(text)
    if fraction is None:
        return float(text)
    above, below = map(float, fraction.groups())
    if below == 0:
        raise ValueError(f"{text} divides by zero")
    return above / below


@NUMBERS.primitive_rule
def _float(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    if info.type is not float:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="FLOAT",
        instance_from_str=lambda arguments: as_number(arguments[0]),
        is_instance=lambda value: isinstance(value, int | float) and not isinstance(value, bool),
        str_from_instance=lambda value: [repr(value)],
    )
