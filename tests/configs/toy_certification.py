"""The toy defence, certified."""

from tests.configs.toy import certification as experiment

__all__ = ["experiment"]
