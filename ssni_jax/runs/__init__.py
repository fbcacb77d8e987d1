"""Runs on disk: experiments, records, status and report."""

__all__: list[str] = []
