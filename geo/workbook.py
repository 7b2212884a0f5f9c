"""Tables in an Excel workbook: printed on A4, totals as live formulas, text that stays text.

A sum is a formula with its value written beside it, so that a reader that
computes nothing shows it too. The same tables give the same bytes.
"""

import datetime as dt
import io
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
import xlsxwriter
from xlsxwriter.utility import xl_col_to_name

from geo.area import from_cents, mu, to_cents
from geo.atomic import whole_file

_CREATED: Final = dt.datetime(2000, 1, 1)  # noqa: DTZ001 - a fixed stamp: same tables, same bytes
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # no XML file may hold them
_LONGEST_CELL: Final = 32_767  # of Excel
HEAD_ROW: Final = 2  # 0-based; a title and a note stand above it
LINE_HEIGHT: Final = 12  # points, of a line of 9-point text
ROW_AIR: Final = 5  # points; the field fills rows in by hand
_NOTE_WIDTH: Final = 96
_NOTE_FILLED: Final = 80  # of it by a full line: a file name that does not fit goes to the next
_LATIN: Final = "\u2000"  # characters after it take two columns
_FORMS: Final = {
    "area": "0.00", "level": "0.00", "metre": "0.000", "degree": "0.0000", "mu": "0.00", "count": "0", "sum": "0",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a sheet: values of ``kind`` from ``source``; without a source, room for a pen."""

    title: str
    width: float
    source: str = ""
    # text, count; level, metre and degree (two, three and four decimals, no sum below);
    # with a sum below: area (m²), mu (by way of ``of``), sum
    kind: str = "text"
    of: str = ""


class Book:
    """A workbook in the making, with the few formats all sheets share."""

    def __init__(self, buffer: io.BytesIO) -> None:
        self.file = xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_formulas": False})
        self.file.set_properties({"created": _CREATED, "author": "taotu"})
        line = {"border": 1, "font_name": "宋体", "font_size": 9, "valign": "vcenter"}
        bold = {**line, "bold": True, "bg_color": "#F2F2F2"}
        add = self.file.add_format
        self.title = add(
            {"font_name": "宋体", "font_size": 14, "bold": True, "align": "center", "valign": "vcenter"}
        )
        self.note = add({"font_name": "宋体", "font_size": 9, "align": "left", "valign": "vcenter"})
        self.wrap = add({"font_name": "宋体", "font_size": 10, "text_wrap": True, "valign": "top"})
        self.head = add({**bold, "align": "center", "text_wrap": True})
        self.text = add({**line, "text_wrap": True, "num_format": "@"})
        self.total = add(bold)
        self.number = {kind: add({**line, "num_format": form}) for kind, form in _FORMS.items()}
        self.sum = {kind: add({**bold, "num_format": form}) for kind, form in _FORMS.items()}
        self.right = add({**line, "align": "center", "font_color": "#006100", "bg_color": "#C6EFCE"})

    def sheet(self, name: str, columns: Sequence[Column], *, title: str, note: str) -> Any:  # noqa: ANN401 - xlsxwriter has no types
        """A sheet ready for its rows: title, note, repeated header, A4 landscape one page wide."""
        sheet = self.file.add_worksheet(name)
        last = len(columns) - 1
        sheet.merge_range(0, 0, 0, last, "", self.title)
        sheet.write_string(0, 0, clean(title), self.title)
        sheet.merge_range(1, 0, 1, last, "", self.note)
        sheet.write_string(1, 0, clean(note), self.note)
        for at, column in enumerate(columns):
            sheet.write_string(HEAD_ROW, at, column.title, self.head)
            sheet.set_column(at, at, column.width)
        sheet.set_row(0, 24)
        sheet.set_row(HEAD_ROW, 26)
        sheet.freeze_panes(HEAD_ROW + 1, 1)
        sheet.repeat_rows(0, HEAD_ROW)
        print_on_a4(sheet)
        return sheet


def print_on_a4(sheet: Any) -> None:  # noqa: ANN401 - xlsxwriter has no types
    """Pages of the sheet are A4 landscape, one wide, numbered."""
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.6)
    sheet.fit_to_pages(1, 0)
    sheet.set_footer("&L&8&F  &A&R&8第 &P 页 共 &N 页")


def save(path: Path, fill: Callable[[Book], None]) -> Path:
    """Write the workbook that ``fill`` fills, whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written; what stood there is untouched.
    """
    buffer = io.BytesIO()
    book = Book(buffer)
    fill(book)
    book.file.close()
    with whole_file(path) as scratch:
        scratch.write_bytes(buffer.getvalue())
    return path


def write_table(  # noqa: PLR0913 - a sheet is what it is made of
    book: Book, name: str, columns: Sequence[Column], rows: pd.DataFrame, *, title: str, note: str
) -> Any:  # noqa: ANN401 - xlsxwriter has no types
    """A sheet of rows, with a last row of live sums where a column is to be summed."""
    sheet = book.sheet(name, columns, title=title, note=note)
    first, end = HEAD_ROW + 1, HEAD_ROW + 1 + len(rows)
    for at, column in enumerate(columns):
        if column.source:
            write_cells(book, sheet, (first, at), rows[column.source], column.kind)
        else:
            for row in range(first, end):
                sheet.write_blank(row, at, None, book.text)
    for row, lines in enumerate(_line_counts(columns, rows), start=first):
        sheet.set_row(row, LINE_HEIGHT * lines + ROW_AIR)
    if any(column.kind in {"area", "sum"} for column in columns):
        _totals(book, sheet, columns, rows)
    sheet.autofilter(HEAD_ROW, 0, max(end - 1, HEAD_ROW), len(columns) - 1)
    return sheet


def _line_counts(columns: Sequence[Column], rows: pd.DataFrame) -> Iterator[int]:
    """Lines each row needs; without a height of its own a long text would be cut in print."""
    longest = [1] * len(rows)
    for column in columns:
        if column.source and column.kind == "text":
            for at, value in enumerate(rows[column.source].fillna("").tolist()):
                longest[at] = max(longest[at], math.ceil(text_width(value) / column.width))
    return iter(longest)


def text_width(text: str) -> int:
    """Width of a text in columns of a Latin letter: a Chinese character takes two."""
    return len(text) + sum(character > _LATIN for character in text)


def write_notes(book: Book, name: str, notes: Sequence[tuple[str, str]], *, title: str) -> Any:  # noqa: ANN401 - xlsxwriter has no types
    """A sheet of words: a key and what there is to say of it in each row, on one page."""
    sheet = book.file.add_worksheet(name)
    sheet.set_column(0, 0, 14)
    sheet.set_column(1, 1, _NOTE_WIDTH)
    sheet.merge_range(0, 0, 0, 1, "", book.title)
    sheet.write_string(0, 0, clean(title), book.title)
    sheet.set_row(0, 24)
    for row, (key, text) in enumerate(notes, start=1):
        sheet.write_string(row, 0, clean(key), book.wrap)
        sheet.write_string(row, 1, clean(text), book.wrap)
        lines = math.ceil(max(1, text_width(text)) / _NOTE_FILLED)
        sheet.set_row(row, LINE_HEIGHT * lines + ROW_AIR)
    print_on_a4(sheet)
    sheet.fit_to_pages(1, 1)  # a few lines alone on a second page serve nobody
    return sheet


def write_cells(book: Book, sheet: Any, top: tuple[int, int], values: pd.Series, kind: str) -> None:  # noqa: ANN401
    """Write values downwards from the cell ``top`` (row, column); a missing one is an empty cell."""
    first, at = top
    blank = book.text if kind == "text" else book.number[kind]
    for row, value in enumerate(values.tolist(), start=first):
        if pd.isna(value):
            sheet.write_blank(row, at, None, blank)
        elif kind == "text":
            # Always as text: a name that begins with = + - @ must never run as a formula.
            sheet.write_string(row, at, clean(str(value)), blank)
        else:
            sheet.write_number(row, at, value, blank)


def _totals(book: Book, sheet: Any, columns: Sequence[Column], rows: pd.DataFrame) -> None:  # noqa: ANN401
    end = HEAD_ROW + 1 + len(rows)
    place = {column.source: xl_col_to_name(at) for at, column in enumerate(columns)}
    sheet.write_string(end, 0, "合计", book.total)
    for at, column in enumerate(columns[1:], start=1):
        if column.kind not in {"area", "mu", "sum"}:
            sheet.write_blank(end, at, None, book.total)
            continue
        style = book.sum[column.kind]
        if column.kind == "sum":
            value: float = int(rows[column.source].sum())
        else:
            value = float(from_cents(to_cents(rows[column.of or column.source]).sum()))
        if column.kind == "mu":
            sheet.write_formula(
                end, at, f"=ROUND({place[column.of]}{end + 1}*3/2000,2)", style, float(mu(value))
            )
        elif len(rows):
            letter = xl_col_to_name(at)
            sheet.write_formula(end, at, f"=SUM({letter}{HEAD_ROW + 2}:{letter}{end})", style, value)
        else:
            sheet.write_number(end, at, 0, style)


def clean(text: str) -> str:
    """The text as a cell can hold it: without control characters, cut at what Excel takes."""
    return _UNPRINTABLE.sub("", text)[:_LONGEST_CELL]


def write_csv(table: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write a table as Excel opens it in China: UTF-8 with its mark, lines as Windows ends them.

    Text that a spreadsheet would run as a formula gets an apostrophe before it.

    Raises
    ------
    OutputError
        If the file cannot be written; what stood there stays.
    """
    target = Path(path)
    out = pd.DataFrame(table).copy()
    for name in out.columns:
        if pd.api.types.is_string_dtype(out[name]) or out[name].dtype == object:
            out[name] = out[name].astype("str").str.replace(r"^(?=[=+\-@\t\r])", "'", regex=True)
    with whole_file(target) as scratch:
        out.to_csv(scratch, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    return target
