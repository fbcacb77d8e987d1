"""Numbers as people read them."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
SIGMA, L2 = "\N{GREEK SMALL LETTER SIGMA}", "\N{SCRIPT SMALL L}2"


def percent(value: float | None) -> str:
    """0.8125 as 81.2 %."""
    return DASH if value is None else f"{100 * value:.1f} %"


def percent_interval(ends: Sequence[float]) -> str:
    """Two shares as [69.5, 89.9]."""
    return f"[{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]"


def percent_range(ends: Sequence[float]) -> str:
    """Two shares as 69.5–89.9 %, and equal ones as one."""
    low, high = (f"{100 * end:.1f}" for end in ends)
    return f"{low} %" if low == high else f"{low}{DASH}{high} %"


def share(value: float) -> str:
    """0.8125 as 81.2, where the unit stands elsewhere."""
    return f"{100 * value:.1f}"


def points(value: float) -> str:
    """A difference of two shares in percentage points, signed."""
    return f"{100 * value:+.1f}".replace("-", MINUS)


def points_interval(low: float, high: float) -> str:
    """Two differences in brackets."""
    return f"[{points(low)}, {points(high)}]"


def number(value: float | None) -> str:
    """Three significant digits without an exponent where that is readable."""
    if value is None:
        return DASH
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2e}"
    digits = f"{value:#.3g}".rstrip(".") if 0 < abs(value) < 999.5 else f"{value:.0f}"
    return digits.replace("-", MINUS)


def accuracies(row: Mapping[str, Any]) -> str:
    """Clean and robust accuracy of a row of numbers, on one line, with the images whose predictions are invalid."""
    shown = [name for name in ("clean", "robust") if row[name] is not None]
    return "  ".join(
        f"{name} {percent(row[name])} {percent_interval(row[f'{name}_ci'])}{invalid(row, name)}" for name in shown
    )


def invalid(row: Mapping[str, Any], name: str) -> str:
    """How many images have a NaN or infinite logit behind the accuracy of that name; empty where none has."""
    n = row[f"{name}_invalid"]
    return f"  {n} invalid" if n else ""


def duration(seconds: float | None) -> str:
    """Seconds as 20 µs, 5 ms, 0.1 s or 30 s."""
    if seconds is None:
        return DASH
    for factor, unit in ((1, "s"), (1e-3, "ms")):
        if seconds >= 0.0999 * factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def level(t: float | None) -> str:
    """A noise level in thousandths of the schedule, as the discrete methods count."""
    return DASH if t is None else f"{t:.3f}"


def several(values: Sequence[float] | None, form: Callable[[float], str]) -> str:
    """Several values in one form, divided by middle dots."""
    return DASH if values is None else " · ".join(form(value) for value in values)


def p_value(p: float) -> str:
    """Two significant digits, and small ones as a bound."""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}" if p < 0.995 else "1"


def ranges(ids: Sequence[int], limit: int = 6) -> str:
    """Sorted ids as ranges; after `limit` pieces the rest is counted."""
    runs = [list(run) for _, run in groupby(enumerate(ids), key=lambda pair: pair[1] - pair[0])]
    pieces = [f"{run[0][1]}{DASH}{run[-1][1]}" if len(run) > 1 else f"{run[0][1]}" for run in runs]
    rest = sum(len(run) for run in runs[limit:])
    return ", ".join(pieces[:limit]) + (f" and {rest} more" if rest else "")


def compact(value: Any) -> str:
    """A described value as an expression, Pgd(threat=Linf(eps=0.03137), n_steps=20)."""
    if isinstance(value, dict):
        fields = [f"{key}={compact(entry)}" for key, entry in value.items() if key != "kind"]
        return f"{value.get('kind', '')}({', '.join(fields)})"
    if isinstance(value, list):
        return f"[{', '.join(compact(entry) for entry in value)}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def flat(value: Any, key: str = "") -> list[tuple[str, str]]:
    """Nested dicts as dotted keys and short values; lists stay whole, equal entries counted."""
    if isinstance(value, dict) and value:
        return [pair for name, entry in value.items() for pair in flat(entry, f"{key}.{name}" if key else str(name))]
    if isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
        return [pair for i, entry in enumerate(value) for pair in flat(entry, f"{key}[{i}]")]
    if isinstance(value, list) and len(value) > 1 and all(entry == value[0] for entry in value):
        return [(key, f"{len(value)} x {value[0]}")]
    return [(key, value if isinstance(value, str) else repr(value))]
