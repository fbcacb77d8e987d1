"""What a workdir holds: identity, records, numbers and status."""

__all__: list[str] = []
