"""Predictions over HTTP: the server, what it accepts, and the page to try it."""
