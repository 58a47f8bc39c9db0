"""Compare two evaluations, for the gate."""
