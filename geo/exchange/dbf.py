"""dBase tables with the field lengths a standard asks for, the same bytes each time.

A shapefile's writer chooses lengths and dates of its own; deliveries have
those of their standard, and text in GBK.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

_DATE: Final = (120, 1, 1)  # 2020-01-01, whatever the day
_GBK: Final = 0x4D  # language driver of code page 936


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a table: name, kind (C text, N number), length in bytes, decimals, column it comes from."""

    name: str
    kind: str
    length: int
    decimals: int
    column: str = ""


def _text(values: pd.Series, length: int) -> np.ndarray[tuple[int], np.dtype[np.bytes_]]:
    codes, names = pd.factorize(values.astype("object"), use_na_sentinel=True)
    cut = [
        str(name).encode("gbk", "replace")[:length].decode("gbk", "ignore").encode("gbk") for name in names
    ]
    table = np.array([name.ljust(length) for name in cut] + [b" " * length], dtype=f"S{length}")
    return table[codes]


def _number(values: pd.Series, length: int, decimals: int) -> np.ndarray[tuple[int], np.dtype[np.bytes_]]:
    numbers = pd.to_numeric(values, errors="coerce")
    made = [
        " " * length if np.isnan(v) else f"{v:{length}.{decimals}f}"
        for v in numbers.to_numpy(dtype="float64", na_value=np.nan)
    ]
    return np.array(made, dtype=f"S{length}")


def write_dbf(table: pd.DataFrame, fields: tuple[Field, ...], path: Path, *, says_gbk: bool = True) -> None:
    """Write a table in GBK.

    Parameters
    ----------
    table : DataFrame
        Columns named as ``Field.column`` say; a field without column, or whose
        column is not there, is left empty.
    fields : tuple of Field
        Fields in their order.
    path : Path
        File to write.
    says_gbk : bool
        Whether the header names the code page.
    """
    columns = []
    for item in fields:
        values = (
            table[item.column] if item.column in table else pd.Series([None] * len(table), dtype="object")
        )
        made = _text(values, item.length) if item.kind == "C" else _number(values, item.length, item.decimals)
        columns.append(made.view(np.uint8).reshape(len(table), item.length))
    width = 1 + sum(item.length for item in fields)
    header = struct.pack(
        "<4BIHH17xB2x", 3, *_DATE, len(table), 33 + 32 * len(fields), width, _GBK if says_gbk else 0
    )
    described = b"".join(
        struct.pack(
            "<11sc4xBB14x", item.name.encode("gbk"), item.kind.encode("ascii"), item.length, item.decimals
        )
        for item in fields
    )
    rows = np.hstack([np.full((len(table), 1), 0x20, dtype=np.uint8), *columns])
    # numpy strips trailing NULs of byte strings; what was padded with them must be blanks.
    rows[rows == 0] = 0x20
    path.write_bytes(header + described + b"\r" + rows.tobytes() + b"\x1a")
