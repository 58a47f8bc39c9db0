"""Vectors at speed: the row cache, and more than one machine."""
