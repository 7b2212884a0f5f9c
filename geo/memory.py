"""What a process no longer needs, back to the system.

Arrow and the C library keep freed memory for what comes next. A worker that
draws one unit after another would hold the most that any of them needed at once.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import cache

import pyarrow as pa


def release() -> None:
    """Give back what Arrow and, where it can be asked, the C library keep of freed memory: some milliseconds."""
    pa.default_memory_pool().release_unused()
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """Function of glibc; other C libraries give memory back by themselves."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
