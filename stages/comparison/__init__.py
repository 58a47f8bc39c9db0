"""Two evaluations beside each other, for the gate."""
