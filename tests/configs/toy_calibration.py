"""Reference norms of the toy deviation."""

from tests.configs.toy import calibration as experiment

__all__ = ["experiment"]
