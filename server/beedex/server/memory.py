"""What the allocator and the garbage collector of a server's process are told."""

import ctypes
import gc
import sys

__all__ = ["leave_libraries_alone", "return_freed_blocks"]

# mallopt's name for the size from which a block is mapped by itself, and so given back when it is freed (malloc.h).
M_MMAP_THRESHOLD = -3

# glibc begins with this, but raises it up to 32 MB with each mapped block that is freed. A hundred hostile photos, over
# and over, took a server from 190 MB to between 500 and 780 then, and to between 200 and 280 with it
# (tests/server/test_hostile.py).
THRESHOLD_BYTES = 128 * 1024


def return_freed_blocks() -> None:
    """Keep large blocks out of the allocator's heaps, for as long as the process runs; does nothing without glibc."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, THRESHOLD_BYTES)


def leave_libraries_alone() -> None:
    """Keep the garbage collector away from all that there is by now: modules, classes, functions.

    A full collection looks at 100,000 objects of libraries for 20 to 60 ms, in which nobody is answered; a snapshot
    that is read makes enough new objects to bring one about. With the libraries left out it takes less than one.
    """
    gc.freeze()
