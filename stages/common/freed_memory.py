"""Memory that is free inside of the process, but not for others."""

import ctypes
import sys
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h
NEVER = 2**31 - 1  # the largest number of bytes that mallopt takes


def give_back() -> None:
    """Give freed memory back to the system, where glibc manages it; costs some milliseconds.

    Batches of texts make arrays of ever other sizes. Freed, they leave gaps that the next ones do not fit into, so that
    a process of glibc 2.36 grew by 3 KB a text of 384 dimensions, though all that it used took no more.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # other C libraries have no such function
            ctypes.CDLL(None).malloc_trim(0)


def keep_large() -> None:
    """Keep freed memory of large arrays for the next ones until `give_back`, where glibc manages it.

    It returns arrays above 32 MB to the system at once, which must clear all pages of the next one. Batches of images
    are larger, and a third of the processor's time went into that.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(None)
            library.mallopt(M_MMAP_MAX, 0)
            library.mallopt(M_TRIM_THRESHOLD, NEVER)
