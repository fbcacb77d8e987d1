"""The toy defence under a short attack."""

from tests.configs.toy import evaluation as experiment

__all__ = ["experiment"]
