"""Sections of the report, one per kind of workdir."""

__all__: list[str] = []
