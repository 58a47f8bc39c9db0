"""Delete entries of the cache folder: only those that are named as ours, and that no process has locked."""

import shutil
import time
from contextlib import suppress

from stages.common import cache_folder, locks
from stages.common.cache_folder import Part


def delete(part: Part, *, unused_days: float = 0) -> list[int]:
    """Delete the entries of `part` that were not used for so many days; give the bytes of those that are gone."""
    sizes = []
    newest = time.time() - unused_days * 86_400
    for path in cache_folder.entries(part):
        with suppress(OSError):  # another process was faster, or, on Windows, has a file open
            if path.stat().st_mtime > newest:
                continue
            with locks.held(path) as is_ours:
                if is_ours and path.stat().st_mtime <= newest:
                    size = cache_folder.size(path)
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                    sizes.append(size)
    return sizes
