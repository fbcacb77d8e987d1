"""Figures as SVG for the page and PNG for papers."""

__all__: list[str] = []
