"""What the allocator and the garbage collector of a server's process are told."""

import ctypes
import gc
import sys

__all__ = ["leave_libraries_alone", "return_freed_blocks", "return_freed_pages"]

# mallopt's names (malloc.h) for the size from which a block is mapped by itself, and so given back when it is freed,
# for how much may be free at the end of a heap before it is given back, and for how many heaps there are.
M_MMAP_THRESHOLD = -3
M_TRIM_THRESHOLD = -1
M_ARENA_MAX = -8

# glibc begins with 128 kB for both, but raises them up to 32 and 64 MB with each mapped block that is freed. A hundred
# hostile photos, over and over, took a server from 190 MB to between 500 and 780 then (tests/server/test_hostile.py).
# With 128 kB for good, every photo's pixels are new pages: 10 of the 81 ms that a megapixel took in all. So what a
# photo of two megapixels needs stays, and what is larger goes.
MAPPED_FROM_BYTES = 8 << 20
KEPT_AT_MOST_BYTES = 32 << 20

# glibc gives threads heaps of their own, up to eight a core, and each keeps that much. Over 1,000 swaps beside 200,000
# requests 38 MB were in use from beginning to end, but what lay free rose from 96 to 177 MB, and the process from 192
# to 250. With two heaps 36 to 44 MB lie free, and the process stays at 190 (tests/benchmarks/soak.py).
MOST_HEAPS = 2


def return_freed_blocks() -> None:
    """Keep large blocks out of the allocator's heaps, for as long as the process runs; does nothing without glibc."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
            mallopt(M_TRIM_THRESHOLD, KEPT_AT_MOST_BYTES)
            mallopt(M_ARENA_MAX, MOST_HEAPS)


def return_freed_pages() -> None:
    """Give back to the system what lies free between blocks that are used; does nothing without glibc.

    A network and a snapshot are made of many blocks; where one was freed, the heaps have holes. Over 1,000 swaps beside
    200,000 requests a server grew by 11 to 39 MB, and doesn't if this follows each swap (tests/benchmarks/soak.py).
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def leave_libraries_alone() -> None:
    """Keep the garbage collector away from all that there is by now: modules, classes, functions.

    A full collection looks at 100,000 objects of libraries for 20 to 60 ms, in which nobody is answered; a snapshot
    that is read makes enough new objects to bring one about. With the libraries left out it takes less than one.
    """
    gc.freeze()
