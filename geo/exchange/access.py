"""Tables of a Microsoft Access database (.mdb, .accdb), with mdbtools or without.

mdbtools reads what Access has written for twenty-five years, so it is asked
where it is installed. Where it is not, access-parser finds tables and columns
and `geo.exchange.jet` takes the rows apart. Both give the same table.

Why so: docs/decisions/0003-reading-access-databases.md.
"""

import io
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any, Final

import access_parser
import pandas as pd

from geo.errors import InputError
from geo.exchange import jet

_MAGIC: Final = (b"Standard Jet DB", b"Standard ACE DB")
_HEADER_KEY: Final = bytes.fromhex("c7da396b")  # of the first page's RC4, the same in every file
_DATES: Final = "%Y-%m-%d %H:%M:%S"
_JET3: Final = 0
_JET4: Final = 1


def table_names(file: Path) -> list[str]:
    """Names of the tables a user made, in order.

    Raises
    ------
    InputError
        If the file is no Access database, is cut short, encrypted or has a password.
    """
    _check(file)
    if (text := _mdbtools("mdb-tables", "-1", str(file))) is not None:
        return sorted(text.splitlines())
    return sorted(name for name in _open(file).catalog if not name.startswith("MSys"))


def read(file: Path, table: str) -> pd.DataFrame:
    """A table, all its values as text (dates as 2016-05-04 00:00:00), missing ones empty or missing.

    Raises
    ------
    InputError
        If the file cannot be read, or fewer rows than its own count come out of it.
    """
    _check(file)
    arguments = ("-T", _DATES, "-D", _DATES, "-b", "octal", str(file), table)
    if (text := _mdbtools("mdb-export", *arguments)) is not None:
        out = pd.read_csv(io.StringIO(text), dtype="str", keep_default_na=False, na_filter=False)
        count = int(_mdbtools("mdb-count", str(file), table) or 0)
    else:
        out, count = _read_python(file, table)
    if len(out) < count:
        raise InputError(
            f"{file.name} 的表 {table} 记有 {count} 行，只读到 {len(out)} 行，文件已损坏；"
            "请用 Access 的“压缩和修复数据库”修复，或重新拷贝"
        )
    return out


def _read_python(file: Path, name: str) -> tuple[pd.DataFrame, int]:
    parser = _open(file)
    try:
        table = parser.get_table(name)
        if parser.version == 3:  # noqa: PLR2004 - Access 97: single-byte text, other row layout
            out = pd.DataFrame({key: _jet3_text(values) for key, values in table.parse().items()})
        else:
            out = jet.rows(table.table.linked_pages, table.columns.values(), parser.db_data)
        return out, int(table.table_header.number_of_rows)
    except Exception as error:  # whatever access-parser raises on pages that make no sense
        raise InputError(f"{file.name} 的表 {name} 读不出来（{type(error).__name__}）；{_ADVICE}") from error


_ADVICE: Final = "文件可能已损坏或加密，请用 Access 的“压缩和修复数据库”修复、取消密码后重试"


def _jet3_text(values: Any) -> pd.Series:  # noqa: ANN401 - what access-parser gives: a list, or '' where there are no rows
    """Text of Access 97, which access-parser takes for Latin, as the Chinese it is."""

    def chinese(value: object) -> object:
        if not isinstance(value, str) or value.isascii():
            return value
        try:
            return value.encode("latin-1").decode("gb18030")
        except UnicodeError:
            return value

    return pd.Series([chinese(value) for value in values], dtype="object").map(str, na_action="ignore")


def _open(file: Path) -> Any:  # noqa: ANN401 - access-parser has no types
    try:
        return access_parser.AccessParser(str(file))
    except Exception as error:  # it raises whatever its structures meet
        raise InputError(f"{file.name} 的目录读不出来（{type(error).__name__}）；{_ADVICE}") from error


def _mdbtools(program: str, *arguments: str) -> str | None:
    """What a program of mdbtools prints; None where it is not installed or gives up."""
    path = shutil.which(program)
    if path is None:
        return None
    environment = {**os.environ, "MDB_JET3_CHARSET": "GB18030", "MDBICONV": "UTF-8", "LC_ALL": "C.UTF-8"}
    done = subprocess.run([path, *arguments], capture_output=True, check=False, env=environment)  # noqa: S603 - no shell
    return None if done.returncode else done.stdout.decode("utf-8", errors="replace")


def _check(file: Path) -> None:
    """Refuse what is no Access database, or one that is cut short or locked."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(0x98)
    if len(head) < 0x98 or not head[4:].startswith(_MAGIC):  # noqa: PLR2004 - header through its encrypted part
        raise InputError(f"{file.name} 不是 Access 数据库，或已损坏；请重新拷贝")
    version = head[0x14]
    page = 2048 if version == _JET3 else 4096
    if size % page or size < 3 * page:
        raise InputError(f"{file.name} 不完整（{size} 字节，不是整数页）；请重新拷贝")
    if version > _JET4:
        return  # an .accdb with a password is encrypted throughout and shows in its catalog
    clear = _rc4(head[0x18:0x98])
    word = clear[0x42 - 0x18 : (0x42 if version == _JET3 else 0x42 + 20) - 0x18 + 20]
    if version == _JET4:
        mask = struct.pack("<i", int(struct.unpack("<d", clear[0x72 - 0x18 : 0x7A - 0x18])[0]))
        word = bytes(byte ^ mask[at % 4] for at, byte in enumerate(word))
    if any(word):
        raise InputError(f"{file.name} 有密码；请在 Access 中打开后取消数据库密码再试")


def _rc4(data: bytes) -> bytes:
    """RC4 with the header's key: taking it off and putting it on are the same."""
    box, at = list(range(256)), 0
    for i in range(256):
        at = (at + box[i] + _HEADER_KEY[i % 4]) % 256
        box[i], box[at] = box[at], box[i]
    out, i, at = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        at = (at + box[i]) % 256
        box[i], box[at] = box[at], box[i]
        out.append(byte ^ box[(box[i] + box[at]) % 256])
    return bytes(out)
