"""What runs an experiment: plan, run, stop and progress."""

__all__: list[str] = []
