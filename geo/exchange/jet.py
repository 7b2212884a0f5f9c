"""Rows of a Jet 4 table (Access 2000 and later) taken apart, all of them at once.

access-parser reads a row at a time (minutes for a county's 600,000), misreads
text that is compressed in runs (Latin and Chinese in one value) and mixes up
columns where one was deleted. Pages are regular enough to be cut by numpy.

Source: the format notes of mdbtools (HACKING), sections data pages, Jet 4 row
definition and column types.
"""

import datetime as dt
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_PAGE: Final = 4096
_DELETED: Final = 0x8000
_ELSEWHERE: Final = 0x4000  # the row has moved; four bytes say where to
_OFFSET: Final = 0x1FFF
_EPOCH: Final = dt.datetime(1899, 12, 30)  # noqa: DTZ001 - Access knows no time zones
_BOOL, _MONEY, _DATE, _BINARY, _TEXT, _OLE, _MEMO, _GUID, _NUMERIC = 1, 5, 8, 9, 10, 11, 12, 15, 16
_FLOATS: Final = {6: 8, 7: 16}  # significant digits of singles and doubles
_NUMBERS: Final = {2: "u1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f4", 7: "<f8", 8: "<f8"}


class _Rows(NamedTuple):
    """Where each row begins and ends, counting from the start of the data."""

    data: bytes
    array: Bytes
    start: Ints
    end: Ints
    columns: Ints  # columns the row was written with
    mask: Ints  # where its null mask begins


def rows(pages: Iterable[bytes], columns: Iterable[Any], database: bytes) -> pd.DataFrame:
    """All rows of a table, values as text, missing ones None.

    Parameters
    ----------
    pages : iterable of bytes
        The table's data pages.
    columns : iterable
        Column definitions of access-parser.
    database : bytes
        The whole file, for rows and long values kept on other pages.

    Returns
    -------
    DataFrame
        One column a column of the table, in the table's order; long binary values are left out.
    """
    found = _find(list(pages), database)
    ordered = sorted(columns, key=lambda column: column.column_id)
    out = {}
    for column in ordered:
        if column.type not in (_OLE, _BINARY):
            out[column.col_name_str] = _values(found, column, database)
    return pd.DataFrame(out, dtype="object").astype("str")


def _find(pages: list[bytes], database: bytes) -> _Rows:
    starts, ends = [], []
    moved: list[bytes] = []
    for number, page in enumerate(pages):
        count = struct.unpack_from("<H", page, 12)[0]
        offsets = np.frombuffer(page, dtype="<u2", count=count, offset=14).astype(np.int64)
        first = offsets & _OFFSET
        last = np.concatenate([[_PAGE], first[:-1]])
        here = (offsets & (_DELETED | _ELSEWHERE)) == 0
        starts.append(first[here] + number * _PAGE)
        ends.append(last[here] + number * _PAGE)
        away = first[(offsets & (_DELETED | _ELSEWHERE)) == _ELSEWHERE]
        moved += [_record(database, struct.unpack_from("<I", page, at)[0]) for at in away.tolist()]
    data = b"".join([*pages, *moved])
    at = len(pages) * _PAGE
    for record in moved:
        starts.append(np.array([at]))
        ends.append(np.array([at + len(record)]))
        at += len(record)
    start = np.concatenate(starts).astype(np.int64) if starts else np.zeros(0, np.int64)
    end = np.concatenate(ends).astype(np.int64) if ends else np.zeros(0, np.int64)
    array = np.frombuffer(data, dtype=np.uint8)
    whole = end - start > 2  # noqa: PLR2004 - an empty slot holds no column count
    start, end = start[whole], end[whole]
    count = _short(array, start)
    return _Rows(data=data, array=array, start=start, end=end, columns=count, mask=end - (count + 7) // 8)


def _short(array: Bytes, at: Ints) -> Ints:
    """Two-byte numbers at each place."""
    return array[at].astype(np.int64) | (array[at + 1].astype(np.int64) << 8)


def _record(database: bytes, pointer: int) -> bytes:
    """The record a pointer (page and row) leads to."""
    page = database[(pointer >> 8) * _PAGE : ((pointer >> 8) + 1) * _PAGE]
    row = pointer & 0xFF
    start = struct.unpack_from("<H", page, 14 + 2 * row)[0] & _OFFSET
    end = struct.unpack_from("<H", page, 12 + 2 * row)[0] & _OFFSET if row else _PAGE
    return page[start:end]


def _present(found: _Rows, column: int) -> npt.NDArray[np.bool_]:
    """Whether each row has a value of a column; a row written before the column was added has none."""
    known = column < found.columns
    at = np.where(known, found.mask + column // 8, 0)
    return known & ((found.array[at] >> (column % 8)) & 1).astype(bool) if len(at) else known


def _values(found: _Rows, column: Any, database: bytes) -> npt.NDArray[np.object_]:  # noqa: ANN401 - access-parser's
    there = _present(found, column.column_id)
    out = np.full(len(there), None, dtype=object)
    if column.type == _BOOL:
        out[:] = np.where(there, "1", "0")
        return out
    if column.column_flags.fixed_length and column.type in _NUMBERS:
        kind = np.dtype(_NUMBERS[column.type])
        at = found.start[there] + 2 + column.fixed_offset
        cells = found.array[at[:, None] + np.arange(kind.itemsize)]
        numbers = np.ascontiguousarray(cells).view(kind)[:, 0] if len(at) else np.zeros(0, kind)
        out[there] = np.array([_number(column.type)(value) for value in numbers.tolist()], dtype=object)
        return out
    start, end = _spans(found, column.variable_column_number, there)
    read = _reader(column, database)
    data = found.data
    out[there] = np.array(
        [read(data[a:b]) for a, b in zip(start.tolist(), end.tolist(), strict=True)] or [], dtype=object
    )
    return out


def _spans(found: _Rows, number: int, there: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Where a variable-length column lies in each row that has it."""
    start, mask = found.start[there], found.mask[there]
    known = number < _short(found.array, mask - 2)
    table = mask - 4 - 2 * number  # offsets stand in reverse order before their count
    first = np.where(known, _short(found.array, np.where(known, table, 0)), 0)
    last = np.where(known, _short(found.array, np.where(known, table - 2, 0)), 0)
    return start + first, start + np.maximum(first, last)


def _number(kind: int) -> Callable[[Any], str]:
    if kind == _MONEY:
        return lambda value: f"{value / 10_000:.4f}"
    if kind == _DATE:
        return _date
    if kind in _FLOATS:
        digits = _FLOATS[kind]  # those mdbtools prints, so that both ways give one table
        return lambda value: f"{value:.{digits}g}"
    return str


def _date(days: float) -> str:
    # A day and a time of day; before 1899 the fraction still counts forward.
    whole = int(days)
    moment = _EPOCH + dt.timedelta(days=whole, seconds=round(abs(days - whole) * 86_400))
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _reader(column: Any, database: bytes) -> Callable[[bytes], str]:  # noqa: ANN401 - access-parser's
    if column.type == _MEMO:
        return lambda raw: _memo(raw, database)
    if column.type == _NUMERIC:
        scale = int(column.various.scale)
        return lambda raw: _numeric(raw, scale)
    if column.type == _GUID:
        return bytes.hex
    return text


def text(raw: bytes) -> str:
    """Text of a value: two bytes a character, or in runs of one byte and of two, told apart by a zero byte."""
    if raw[:2] != b"\xff\xfe":
        return raw.decode("utf-16-le", errors="replace")
    raw = raw[2:]
    if 0 not in raw:
        return raw.decode("latin-1")
    out, at, narrow = [], 0, True
    while at < len(raw):
        if narrow:
            stop = raw.find(0, at)
            stop = len(raw) if stop < 0 else stop
            out.append(raw[at:stop].decode("latin-1"))
        else:
            stop = at
            while stop < len(raw) and raw[stop] != 0:
                stop += 2
            out.append(raw[at:stop].decode("utf-16-le", errors="replace"))
        at, narrow = stop + 1, not narrow
    return "".join(out)


def _memo(raw: bytes, database: bytes) -> str:
    """A long text: in the row itself, in one record elsewhere, or in a chain of them."""
    if len(raw) < 12:  # noqa: PLR2004 - length of a memo's header
        return ""
    length, pointer = struct.unpack_from("<II", raw)
    if length & 0x80000000:
        return text(raw[12:])
    if length & 0x40000000:
        return text(_record(database, pointer)[: length & 0x3FFFFFFF])
    parts, left = [], length & 0x3FFFFFFF
    while pointer and left > 0:
        record = _record(database, pointer)
        pointer = struct.unpack_from("<I", record)[0]
        parts.append(record[4 : 4 + left])
        left -= len(parts[-1])
    return text(b"".join(parts))


def _numeric(raw: bytes, scale: int) -> str:
    """A scaled decimal of 17 bytes: sign, then four words, the highest first."""
    words = struct.unpack("<4I", raw[1:17])
    digits = str(sum(word << 32 * place for word, place in zip(words, (3, 2, 1, 0), strict=True)))
    digits = digits.rjust(scale + 1, "0")
    number = digits[:-scale] + "." + digits[-scale:] if scale else digits
    return "-" + number if raw[0] & 0x80 else number
