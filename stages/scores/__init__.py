"""Pure functions of true labels and scores: metrics and calibration."""
