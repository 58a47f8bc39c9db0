"""The heap of the C library: memory that is free inside of the process, but not for others. Only glibc is told."""

import ctypes
import sys
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of malloc.h
NEVER = 2**31 - 1  # the largest number of bytes that mallopt takes


def give_back() -> None:
    """Give freed memory back to the system; costs some milliseconds.

    Batches of texts make arrays of ever other sizes. Freed, they leave gaps that the next ones do not fit into, so that
    a process of glibc 2.36 grew by 3 KB a text of 384 dimensions, though all that it used took no more.
    """
    _call("malloc_trim", 0)


def keep_large() -> None:
    """Keep freed memory of large arrays for the next ones until `give_back`.

    glibc returns arrays above 32 MB to the system at once, which must clear all pages of the next one. Batches of
    images are larger, and a third of the processor's time went into that.
    """
    _call("mallopt", M_MMAP_MAX, 0)
    _call("mallopt", M_TRIM_THRESHOLD, NEVER)


def share() -> None:
    """Let all threads share two heaps; call it before threads start.

    With a heap for every thread, as glibc has it, the server grew from 1.4 to 2.4 GB under load.
    """
    _call("mallopt", M_ARENA_MAX, 2)


def _call(name: str, *arguments: int) -> None:
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # other C libraries have no such function
            getattr(ctypes.CDLL(None), name)(*arguments)
