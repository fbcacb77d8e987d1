from tests.workdirs import workdir

__all__ = ["workdir"]
