"""What a process no longer needs, back to the system.

Arrow and the C library keep freed memory for what comes next. A worker that
draws one unit after another would hold the most that any of them needed at once.
"""

import ctypes
import gc
import sys
from collections.abc import Callable
from functools import cache
from typing import Final

import pyarrow as pa

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of mallopt, in glibc's malloc.h
_LARGE_BYTES: Final = 2**18  # a picture or a column: its memory is its own, and goes back when it is freed


def release() -> None:
    """Give back what Python, Arrow and, where it can be asked, the C library keep of freed memory: milliseconds."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def spare() -> None:
    """Let this process keep little of what it frees, from now on: for one that works long beside others like it.

    By itself glibc learns from the largest array that was freed to keep all that
    are smaller, in the middle of small things that live on, and has a heap for
    each thread; Arrow has a heap of its own.
    """
    gc.collect()
    gc.freeze()  # what is imported stays, and need not be looked through each time
    pa.set_memory_pool(pa.system_memory_pool())
    option = _of_glibc("mallopt")
    if option is not None:
        for name, value in (
            (_ARENA_MAX, 1),
            (_MMAP_THRESHOLD, _LARGE_BYTES),
            (_TRIM_THRESHOLD, _LARGE_BYTES),
        ):
            option(name, value)


@cache
def _of_glibc(name: str) -> Callable[..., int] | None:
    """Function of glibc; other C libraries give memory back by themselves."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
