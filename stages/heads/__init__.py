"""Classifiers on frozen features: fit, choose, save, load."""
