"""The one exception a user sees."""


class HeadstartError(Exception):
    """A user's mistake or a missing piece, told in one sentence: file, value, what is allowed, what to do."""
