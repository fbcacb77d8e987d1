"""The tables of certified methods as Markdown, in the papers' layout: one row per method and one column per radius."""

from collections.abc import Mapping, Sequence
from typing import Any

from ssni_jax.journal.certified_rows import at_sigma
from ssni_jax.journal.formats import DASH, L2, SIGMA, number, percent

Method = Mapping[str, Any]
Row = Mapping[str, Any]
COST = (
    ("seconds per draw", "seconds"), ("network calls", "calls"), ("transport", "transport"), ("{distance}", "distance"),
    ("PSNR (dB)", "psnr"), ("SSIM", "ssim"),
)  # fmt: skip


def markdown(title: str, methods: Sequence[Method], distance: str = "distance") -> str:
    """All tables, of methods summarised at the same radii: best sigma per radius, each sigma, cost and quality."""
    radii = methods[0]["radii"]
    sigmas = sorted({row["sigma"] for method in methods for row in method["sigmas"]})
    best = [[_name(method["method"]), *_envelope(method), _images(method)] for method in methods if method["sigmas"]]
    parts = [
        f"# {title}: certified accuracy",
        f"Share of all images, in %, whose certified class is right at an {L2} radius, with the exact 95 % interval.",
        f"## Best {SIGMA} per radius",
        table(["method", *(f"{radius:g}" for radius in radii), "images"], best),
        f"The {SIGMA} of each entry is written after it. It was chosen afterwards on the same images, as in the papers:"
        " these numbers are optimistic, and the intervals do not account for the choice.",
    ]
    for sigma in sigmas:
        parts += [f"## {SIGMA} = {sigma:g}", _at_sigma(methods, radii, sigma)]
    return "\n\n".join([*parts, "## Cost and quality", _cost(methods, distance)]) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of a Markdown table; its first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _at_sigma(methods: Sequence[Method], radii: Sequence[float], sigma: float) -> str:
    reached, rows = at_sigma(methods, sigma)
    head = ["method", *(f"{radius:g}" for radius in radii[:reached]), "ACR", "abstains", "NaN", "images"]
    return table(head, [[_name(name), *_shares(row)[:reached], *_rest(row)] for name, row in rows])


def _cost(methods: Sequence[Method], distance: str) -> str:
    head = ["method", SIGMA, "draws", *(name.format(distance=distance) for name, _ in COST)]
    return table(head, [_cost_of(method, row) for method in methods for row in method["sigmas"]])


def _cost_of(method: Method, row: Row) -> list[str]:
    measured = [number(row[key]) for _, key in COST]
    return [_name(method["method"]), f"{row['sigma']:g}", f"{row['n_draws']:.0f}", *measured]


def _envelope(method: Method) -> list[str]:
    return [f"{_share(best['accuracy'], best['ci'])} {SIGMA} {best['sigma']:g}" for best in method["envelope"]]


def _shares(row: Row) -> list[str]:
    return [_share(share, ends) for share, ends in zip(row["accuracy"], row["accuracy_ci"], strict=True)]


def _rest(row: Row) -> list[str]:
    acr = f"{row['acr']:.3f}" + (f" ({row['acr_ci'][0]:.3f}{DASH}{row['acr_ci'][1]:.3f})" if row["acr_ci"] else "")
    return [acr, percent(row["abstention"]), str(row["n_invalid"]), str(row["n"])]


def _share(share: float, ends: Sequence[float]) -> str:
    """61.2 (56.8-65.5), in per cent."""
    return f"{100 * share:.1f} ({100 * ends[0]:.1f}{DASH}{100 * ends[1]:.1f})"


def _images(method: Method) -> str:
    fewest, most = min(row["n"] for row in method["sigmas"]), max(row["n"] for row in method["sigmas"])
    return str(most) if fewest == most else f"{fewest}{DASH}{most}"


def _name(method: str) -> str:
    return method.replace("|", "\\|")
