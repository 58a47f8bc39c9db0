"""Where Headstart keeps what no DVC output holds: the rows of extract, and checkpoints of fine-tuning."""

import os
from pathlib import Path

from stages.common.errors import HeadstartError


def root() -> Path:
    """$HEADSTART_CACHE, else $XDG_CACHE_HOME/headstart, else ~/.cache/headstart, whether or not it exists."""
    if own := os.environ.get("HEADSTART_CACHE"):
        return Path(own).expanduser()
    users = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:  # the specification has a relative XDG_CACHE_HOME ignored
        return (users if users.is_absolute() else Path.home() / ".cache") / "headstart"
    except RuntimeError:
        raise HeadstartError("the cache has no place, as this user has no home; set HEADSTART_CACHE") from None
