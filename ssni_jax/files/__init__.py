"""Files on disk: the one atomic write and the one lock."""

__all__: list[str] = []
