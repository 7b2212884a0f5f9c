"""Codes as files hold them: digits a number could not keep, digits of another width, blanks around them.

A code is text. Where a file keeps it as a number it is right only as far as
the number is exact; beyond that nothing can be guessed and the file is refused.
"""

import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyogrio

from geo.errors import InputError
from geo.exchange import fields
from geo.findings import findings

EXACT_DIGITS: Final = 1e15  # beyond fifteen digits a spreadsheet or a double has lost the tail

_CODES: Final = ("_code", "_bsm", "_number", "_class", "_kind")  # ends of the names of columns of codes
_NULLABLE: Final = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}
_CLASS_DIGITS: Final = 4


def is_code(column: str) -> bool:
    """Whether a column of ours holds codes, by its name."""
    return column.endswith(_CODES) or column == "land_use"


def whole(table: pd.DataFrame, kinds: Mapping[str, str], again: Callable[[list[str]], pa.Table]) -> None:
    """Make a table's 64-bit integers exact: where a row has none, pandas made doubles of all.

    Parameters
    ----------
    table : DataFrame, n rows
        As read, changed in place.
    kinds : mapping
        Field to the type the file gives it.
    again : callable
        Reads fields of these names once more, as an Arrow table of n rows.
    """
    lost = [
        name
        for name, kind in kinds.items()
        if kind in ("int64", "uint64") and name in table and pd.api.types.is_float_dtype(table[name].dtype)
    ]
    if lost:
        exact = again(lost)
        for name in lost:
            table[name] = exact.column(name).to_pandas(types_mapper=_NULLABLE.get).array


def whole_of_file(
    table: pd.DataFrame, info: Mapping[str, Any], file: Path, layer: str | None, **options: str
) -> None:
    """As `whole`, of a table GDAL read; ``info`` is `pyogrio.read_info` of it."""
    kinds = dict(zip(map(str, info["fields"]), map(str, info["dtypes"]), strict=True))

    def again(names: list[str]) -> pa.Table:
        return pyogrio.read_arrow(file, layer=layer, columns=names, read_geometry=False, **options)[1]

    whole(table, kinds, again)


def require_exact(values: pd.Series, *, label: str, layer: str, field: str) -> None:
    """Refuse a field of codes that is kept as a number too long for one.

    Raises
    ------
    InputError
        Names file, layer and field.
    """
    if pd.api.types.is_float_dtype(values.dtype) and bool((values.abs() >= EXACT_DIGITS).any()):
        raise InputError(
            f"{label}（图层 {layer}）的字段 {field} 存为数字，第 15 位以后的数字已失真；"
            "请将该字段改为文本型后重新导出"
        )


def tidy(values: pd.Series) -> tuple[pd.Series, int]:
    """Codes as text, digits of one width, no blanks around them; and how many were not so."""
    text = fields.as_text(values)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return text, 0
    wide = text.notna() & ~text.str.isascii().astype(bool)
    if wide.any():
        text[wide] = [unicodedata.normalize("NFKC", value).strip() for value in text[wide]]
        text = text.mask(text == "")
    before = values.astype("str").str.replace("\x00", "", regex=False)
    return text, int((text.notna() & (before != text)).sum())


def tidied(counts: Mapping[str, int], label: str) -> list[pd.DataFrame]:
    """One finding a file that says how many codes of which field were tidied; none where none was."""
    told = [f"{field} {count} 个" for field, count in counts.items() if count]
    if not told:
        return []
    message = f"{label} 的编码含全角字符或首尾空格，已转为半角并去空格：{'、'.join(told)}"
    return [findings("code_normalised", message, layer=label, source_file=label, row_code=label)]


def restore_zero(
    codes: pd.Series, raw: pd.Series, *, label: str, field: str
) -> tuple[pd.Series, list[pd.DataFrame]]:
    """Land classes of the survey with the zero a number has no room for: 103 was 0103.

    Only where the file keeps them as numbers: a text of three digits is what somebody wrote.

    Source: TD/T 1057-2020, land classes of four digits.
    """
    if not pd.api.types.is_numeric_dtype(raw.dtype):
        return codes, []
    short = codes.str.fullmatch(rf"\d{{{_CLASS_DIGITS - 1}}}").fillna(value=False).astype(bool)
    if not short.any():
        return codes, []
    one = codes[short].min()
    message = (
        f"{label} 的字段 {field} 存为数字，{int(short.sum())} 行编码缺前导零，"
        f"已补足 {_CLASS_DIGITS} 位（如 {one} 补为 0{one}）"
    )
    note = findings("code_zero_restored", message, layer=label, source_file=label, row_code=label)
    return codes.mask(short, "0" + codes), [note]
