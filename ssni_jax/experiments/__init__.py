"""What a config file builds: one frozen value per experiment."""

__all__: list[str] = []
