"""A small writer of Jet 4 (.mdb) files, to test readers with: tables of text, numbers, dates and memos.

Nothing in Python writes .mdb, so the tests lay out the pages themselves:
header, catalog (MSysObjects), a definition and data pages a table, and its
usage map. No indexes, relations or permissions, so Access would want to repair
such a file; readers do not care.

Source: the format notes of mdbtools (HACKING).
"""

import struct
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

PAGE = 4096
TYPES = {
    "bool": 0x01,
    "int16": 0x03,
    "int32": 0x04,
    "double": 0x07,
    "date": 0x08,
    "text": 0x0A,
    "memo": 0x0C,
    "ole": 0x0B,
}
FIXED = {"bool": 0, "int16": 2, "int32": 4, "double": 8, "date": 8}
_HEADER_KEY = bytes.fromhex("c7da396b")
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - Access knows no time zones


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    width: int = 0  # of text, in characters


def write_mdb(
    path: Path, tables: dict, *, password: str = "", encoded: bool = False, toggled: bool = False
) -> Path:
    """Write tables, ``{name: (columns, rows)}``, to an .mdb.

    ``password`` and ``encoded`` only mark the header; ``toggled`` compresses mixed text
    in runs, as Access may, instead of writing it in two bytes a character.
    """
    pages = [b"", b"\x01\x01".ljust(PAGE, b"\0")]  # header, global map
    pages.append(b"")  # definition of the catalog, always page 2
    catalog = [
        (2, "MSysObjects", 1, -0x80000000),
    ]
    for name, (columns, rows) in tables.items():
        number = _add_table(pages, None, columns, rows, toggled=toggled, user=True)
        catalog.append((number, name, 1, 0))
    columns = [
        Column("Id", "int32"),
        Column("Name", "text", 64),
        Column("Type", "int16"),
        Column("Flags", "int32"),
    ]
    columns.append(Column("LvProp", "ole"))  # mdbtools binds it, empty as it is
    _add_table(pages, 2, columns, [(*entry, None) for entry in catalog], toggled=False, user=False)
    pages[0] = _header(password, encoded=encoded)
    path.write_bytes(b"".join(pages))
    return path


def _header(password: str, *, encoded: bool) -> bytes:
    page = bytearray(PAGE)
    page[0:4] = b"\x00\x01\x00\x00"
    page[4:20] = b"Standard Jet DB\0"
    page[0x14] = 1
    created = 45000.5
    page[0x3C:0x3E] = struct.pack("<H", 936)
    page[0x3E:0x42] = b"\x11\x22\x33\x44" if encoded else b"\0\0\0\0"
    mask = struct.pack("<i", int(created))
    word = password.encode("utf-16-le").ljust(40, b"\0")
    page[0x42:0x6A] = bytes(byte ^ mask[at % 4] for at, byte in enumerate(word))
    page[0x6E:0x72] = struct.pack("<HBB", 0x0804, 0, 0)
    page[0x72:0x7A] = struct.pack("<d", created)
    page[0x18:0x98] = rc4(_HEADER_KEY, bytes(page[0x18:0x98]))
    return bytes(page)


def rc4(key: bytes, data: bytes) -> bytes:
    box, j = list(range(256)), 0
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) % 256
        box[i], box[j] = box[j], box[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + box[i]) % 256
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(out)


def _add_table(  # noqa: PLR0913 - a test tool
    pages: list, number: int | None, columns: list, rows: list, *, toggled: bool, user: bool
) -> int:
    if number is None:
        number = len(pages)
        pages.append(b"")
    data = []
    for page in _data_pages(columns, rows, number, toggled=toggled):
        data.append(len(pages))
        pages.append(page)
    used = _usage_map(pages, data)
    pages[number] = _definition(columns, len(rows), used, user=user)
    return number


def _usage_map(pages: list, data: list) -> int:
    """Maps of the table's pages and of those with room (none); the pointer of the first."""
    start = data[0] if data else 0
    if not data or data[-1] - start < 512:
        bits = bytearray(64)
        for page in data:
            bits[(page - start) // 8] |= 1 << (page - start) % 8
        used = b"\0" + struct.pack("<I", start) + bits
    else:
        per_page = (PAGE - 4) * 8
        count = data[-1] // per_page + 1
        pointers = []
        for part in range(count):
            bits = bytearray(PAGE - 4)
            for page in data:
                if page // per_page == part:
                    bits[page % per_page // 8] |= 1 << page % 8
            pointers.append(len(pages))
            pages.append(b"\x05\x01\0\0" + bytes(bits))
        used = b"\x01" + b"".join(struct.pack("<I", p) for p in pointers) + b"\0\0\0\0" * (17 - count)
    free = b"\0" + struct.pack("<I", 0) + bytes(64)
    pages.append(_page_of([used, free], owner=0))
    return (len(pages) - 1) << 8


def _definition(columns: list, count: int, used: int, *, user: bool) -> bytes:
    variable = [c for c in columns if c.type not in FIXED]
    body = bytearray()
    fixed_at = variable_at = 0
    for at, column in enumerate(columns):
        fixed = column.type in FIXED
        size = FIXED[column.type] if fixed else column.width * 2
        misc = struct.pack("<HBB", 0x0804, 0, 0) if column.type in ("text", "memo") else b"\0\0\0\0"
        body += struct.pack("<BIHHH", TYPES[column.type], 0x659, at, variable_at, at) + misc
        body += struct.pack("<BBIHH", 0x03 if fixed else 0x02, 0x01, 0, fixed_at if fixed else 0, size)
        if fixed:
            fixed_at += size
        else:
            variable_at += 1
    for column in columns:
        name = column.name.encode("utf-16-le")
        body += struct.pack("<H", len(name)) + name
    body += b"\xff\xff"
    head = struct.pack("<IIII", 63 - 8 + len(body), 0x659, count, 0) + b"\x01\0\0\0" + b"\0" * 12
    head += struct.pack("<BHHHII", 0x4E if user else 0x53, len(columns), len(variable), len(columns), 0, 0)
    head += struct.pack("<II", used, used | 1)
    page = b"\x02\x01" + struct.pack("<HI", PAGE - 8 - len(head) - len(body), 0) + head + bytes(body)
    if len(page) > PAGE:
        raise ValueError("too many columns for one definition page")
    return page.ljust(PAGE, b"\0")


def _data_pages(columns: list, rows: list, owner: int, *, toggled: bool):
    batch, size = [], 14
    for row in rows:
        record = _record(columns, row, toggled=toggled)
        if size + len(record) + 2 > PAGE:
            yield _page_of(batch, owner)
            batch, size = [], 14
        batch.append(record)
        size += len(record) + 2
    if batch:
        yield _page_of(batch, owner)


def _page_of(records: list, owner: int) -> bytes:
    offsets, end = [], PAGE
    for record in records:
        end -= len(record)
        offsets.append(end)
    top = 14 + 2 * len(records)
    head = struct.pack("<BBHIIH", 1, 1, end - top, owner, 0, len(records))
    head += struct.pack(f"<{len(offsets)}H", *offsets)
    return head + bytes(end - top) + b"".join(reversed(records))


def _record(columns: list, row: tuple, *, toggled: bool) -> bytes:
    fixed, variable, ends = bytearray(), bytearray(), []
    mask = bytearray((len(columns) + 7) // 8)
    start = 2 + sum(FIXED.get(c.type, 0) for c in columns)
    for at, (column, value) in enumerate(zip(columns, row, strict=True)):
        if value is not None and value is not False:
            mask[at // 8] |= 1 << at % 8
        if column.type in FIXED:
            fixed += _fixed(column.type, value)
        else:
            ends.append(start + len(variable))
            if value is not None:
                text = _text(value, toggled=toggled)
                inline = struct.pack("<IIi", len(text) | 0x80000000, 0, 0) if column.type == "memo" else b""
                variable += inline + text
    record = struct.pack("<H", len(columns)) + bytes(fixed) + bytes(variable)
    if ends:
        record += struct.pack("<H", start + len(variable))
        record += b"".join(struct.pack("<H", end) for end in reversed(ends)) + struct.pack("<H", len(ends))
    return record + bytes(mask)


def _fixed(kind: str, value) -> bytes:
    if kind == "bool":
        return b""
    if kind == "date":
        days = (value - _EPOCH).total_seconds() / 86400 if value is not None else 0.0
        return struct.pack("<d", days)
    return struct.pack({"int16": "<h", "int32": "<i", "double": "<d"}[kind], value or 0)


def _text(value: str, *, toggled: bool) -> bytes:
    if value and all(0 < ord(c) < 256 for c in value) and len(value) > 2:
        return b"\xff\xfe" + value.encode("latin-1")
    if not toggled:
        return value.encode("utf-16-le")
    out, narrow = bytearray(b"\xff\xfe"), True
    for character in value:
        if (0 < ord(character) < 256) != narrow:
            out.append(0)
            narrow = not narrow
        out += character.encode("latin-1" if narrow else "utf-16-le")
    return bytes(out)
