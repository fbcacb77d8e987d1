"""Evaluation: predictions, attacks on them, calibration and statistics."""

__all__: list[str] = []
