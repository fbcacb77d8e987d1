"""The commands of the command line, one dataclass each: its fields are its flags."""

__all__: list[str] = []
