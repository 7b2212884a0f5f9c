"""Which character encoding the text of a .dbf is in: what it says, held against its bytes.

A .cpg beside it or a byte in its header may say; either may be missing or
wrong. Chinese text written as GBK almost never reads as UTF-8, and bytes of
UTF-8 rarely as Chinese, so a sample of the raw bytes settles it.
"""

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geo.errors import InputError

UTF8: Final = "UTF-8"
GB18030: Final = "GB18030"

_SAMPLE_ROWS: Final = 3000
_RIGHT_SHARE: Final = 0.98  # of the values with Chinese in them; the rest may be cut or broken
_LDID: Final = {0x4D: GB18030, 0x7A: GB18030}  # the header's language byte: GBK
_CHINESE: Final = re.compile(r"gb|936|hz")
_UTF8: Final = re.compile(r"utf-?8|65001")
_HIGH_RUN: Final = re.compile(rb"[\x80-\xff]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """Encoding of a .dbf and how it came to be known."""

    name: (
        str | None
    )  # as GDAL knows it; None leaves it to GDAL: nothing but ASCII, or a stated one we do not doubt
    stated: str | None  # what the .cpg or the header says
    certain: bool  # stated, or nothing to decide
    reason: str  # in Chinese, for the findings table


def of_dbf(dbf: Path, cpg: Path | None) -> Encoding:
    """Encoding of a .dbf.

    Parameters
    ----------
    dbf : Path
        The table of a shapefile.
    cpg : Path, optional
        The file beside it that names its encoding.

    Raises
    ------
    InputError
        If the file is no .dbf or is cut short.
    """
    header_stated, values = _sample(dbf)
    stated_text = (
        cpg.read_bytes()[:64].decode("ascii", errors="ignore").strip("\ufeff\x00 \r\n\t") if cpg else ""
    )
    stated = _canonical(stated_text) if stated_text else header_stated
    texts = [value for value in values if not value.isascii()]
    if not texts:
        return Encoding(name=stated, stated=stated, certain=True, reason="")
    shares = {UTF8: _share(texts, "utf-8"), GB18030: _share(texts, "gb18030")}
    best = UTF8 if shares[UTF8] >= _RIGHT_SHARE else GB18030 if shares[GB18030] >= _RIGHT_SHARE else None
    where = ".cpg" if stated_text else "dbf 头"
    if stated is None:
        if best is None:
            best = max(shares, key=lambda name: shares[name])
            reason = f"没有 .cpg，文字编码按 {best} 读取，但只有 {shares[best]:.0%} 的文字能解码，请核对"
        else:
            reason = f"没有 .cpg，按文件内容判断文字编码为 {best}"
        return Encoding(name=best, stated=None, certain=False, reason=reason)
    if stated in shares:
        if shares[stated] >= _RIGHT_SHARE and not (stated == GB18030 and best == UTF8):
            return Encoding(name=stated, stated=stated, certain=True, reason="")
    elif best is None or (best == GB18030 and not _paired(texts)):
        return Encoding(name=stated, stated=stated, certain=True, reason="")
    if best is None:
        reason = f"{where} 写的编码是 {stated}，但有文字无法解码，请核对"
        return Encoding(name=stated, stated=stated, certain=False, reason=reason)
    reason = f"{where} 写的编码是 {stated}，与文件内容不符，按 {best} 读取"
    return Encoding(name=best, stated=stated, certain=False, reason=reason)


def _canonical(stated: str) -> str:
    if _UTF8.search(stated.lower()):
        return UTF8
    if _CHINESE.search(stated.lower()):
        return GB18030
    return {"1252": "CP1252", "ANSI 1252": "CP1252", "88591": "ISO-8859-1"}.get(stated, stated)


def _share(texts: list[bytes], encoding: str) -> float:
    """Share of the values that decode; one cut in its last character by the field's width counts as right."""
    right = 0
    for text in texts:
        try:
            text.decode(encoding)
        except UnicodeDecodeError as error:
            if error.start < len(text) - 3:
                continue
        right += 1
    return right / len(texts)


def _paired(texts: list[bytes]) -> bool:
    """Whether high bytes come two by two, as in GB 2312 text, not one by one, as accents do."""
    runs = [run for text in texts for run in _HIGH_RUN.findall(text)]
    return sum(len(run) % 2 == 0 for run in runs) >= 0.9 * len(runs)  # not all: a rare GBK byte is low


def _sample(dbf: Path) -> tuple[str | None, list[bytes]]:
    """What the header says, and raw text values of field names and of rows spread over the file."""
    size = dbf.stat().st_size
    with dbf.open("rb") as file:
        head = file.read(32)
        if len(head) < 32:  # noqa: PLR2004 - length of a .dbf header
            raise InputError(f"{dbf.name} 不是完整的 dbf 文件（只有 {size} 字节）；请重新拷贝该文件")
        rows, header_length, row_length = struct.unpack("<IHH", head[4:12])
        fields = file.read(max(header_length - 32, 0))
        values, spans, start = [], [], 1
        for at in range(0, len(fields) - 31, 32):
            if fields[at : at + 1] == b"\r":  # the header's end
                break
            values.append(fields[at : at + 11].split(b"\x00")[0])
            width = fields[at + 16]
            if fields[at + 11 : at + 12] == b"C":
                spans.append((start, start + width))
            start += width
        if row_length == 0 or header_length + rows * row_length > size:
            raise InputError(
                f"{dbf.name} 不完整：文件头记有 {rows} 行，应有 {header_length + rows * row_length} 字节，"
                f"实有 {size} 字节；请重新拷贝该文件"
            )
        step = max(1, rows // _SAMPLE_ROWS)
        for row in range(0, rows, step):
            file.seek(header_length + row * row_length)
            record = file.read(row_length)
            if record.isascii():
                continue
            values += [record[a:b].rstrip(b" \x00") for a, b in spans]
    return _LDID.get(head[29]), values
