"""Metrics and calibration: pure functions of true labels and scores."""
