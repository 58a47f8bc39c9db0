"""The one exception a user sees."""


class HeadstartError(Exception):
    """A user's mistake or a missing piece, told in one sentence: file, value, what is allowed, what to do."""

    def __init__(self, sentence: str) -> None:
        """A line break in it, as names of files and columns can have, is told as one."""
        super().__init__(sentence.replace("\r", "\\r").replace("\n", "\\n"))
