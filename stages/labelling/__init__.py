"""The page on which a person labels rows, and the server behind it."""
