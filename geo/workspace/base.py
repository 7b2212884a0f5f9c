"""Connections to a GeoPackage by Python's own SQLite, and what its triggers ask for.

The triggers that keep an R-tree call functions of geometry; SQLite has none, so
whoever changes rows of a layer with geometry brings these.

Source: OGC 12-128r19, GeoPackage 1.4, clause 2.1.3 (blobs) and annex F.3 (R-tree).
"""

import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import shapely

_ENVELOPES: Final = (0, 32, 48, 48, 64)
_EMPTY: Final = 16  # of a blob's flags


@contextmanager
def connection(path: Path, mode: str = "ro") -> Iterator[sqlite3.Connection]:
    """A connection, closed at the end."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True)) as base:
        yield base


def cause(error: Exception) -> str:
    """What went wrong, in Chinese where it is a common case."""
    text = str(error).replace("\n", " ").strip()
    if "disk is full" in text or "No space left" in text:
        return "磁盘已满"
    if "locked" in text:
        return "文件被占用"
    return text or type(error).__name__


def body(blob: bytes) -> bytes:
    """Well-known binary of a blob."""
    return blob[8 + _ENVELOPES[(blob[3] >> 1) & 7] :]


def bounds(blob: bytes | None) -> tuple[float, float, float, float] | None:
    """Envelope of a blob as (xmin, xmax, ymin, ymax), in the standard's order; None of nothing."""
    if blob is None or blob[3] & _EMPTY:
        return None
    if (blob[3] >> 1) & 7:
        x0, x1, y0, y1 = struct.unpack_from("<4d" if blob[3] & 1 else ">4d", blob, 8)
        return x0, x1, y0, y1
    x0, y0, x1, y1 = shapely.from_wkb(body(blob)).bounds
    return x0, x1, y0, y1


def _side(at: int) -> Callable[[bytes | None], float | None]:
    def side(blob: bytes | None) -> float | None:
        found = bounds(blob)
        return None if found is None else found[at]

    return side


def _is_empty(blob: bytes | None) -> int | None:
    return None if blob is None else int(bool(blob[3] & _EMPTY))


def bring_functions(base: sqlite3.Connection) -> None:
    """Register what the triggers of an R-tree call."""
    for at, name in enumerate(("ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY")):
        base.create_function(name, 1, _side(at), deterministic=True)
    base.create_function("ST_IsEmpty", 1, _is_empty, deterministic=True)
