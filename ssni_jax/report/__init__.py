"""What a person reads: the page, its sections, figures and tables."""

__all__: list[str] = []
