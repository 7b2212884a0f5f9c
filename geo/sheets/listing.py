"""The area table as it is drawn: rules, heads, rows with cells to be filled in, sums."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from geo.area import from_cents, mu, to_cents
from geo.sheets.layout import Entry, Layout
from geo.sheets.page import Item
from geo.sheets.pen import THICK, THIN, Pen, bar_code, frame_of, strokes
from geo.sheets.plan import Plan, table_plan
from geo.sheets.table import ABREAST, TITLES, Part, head_mm
from geo.standards import code_list

# Title and share of the width; the last four are filled in by hand.
_BLOCKS: Final = (
    ("序号", 7.0), ("编号", 31.0), ("面积(亩)", 13.0), ("类别", 13.0),
    ("认定", 14.0), ("实测亩", 13.0), ("现使用人", 17.0), ("备注", 20.0),
)  # fmt: skip
_AREA: Final = 2  # its column: figures end in line
_CODE: Final = ("二维码", 13.5)
_REST: Final = (("序号", 6.0), ("编号", 25.0), ("亩", 7.0), ("形状", 7.0))
_ELSEWHERE: Final = (("序号", 7.0), ("编号", 16.0), ("填写页", 10.0))
_PLACES: Final = (("编号", 16.0), ("页", 8.0))
_DENSE: Final = {"rest": _REST, "elsewhere": _ELSEWHERE, "places": _PLACES}
_UNMARKED: Final = "*"  # behind the number of a row whose piece has no label on the map


def table_items(layout: Layout, *, sheet: int) -> list[Item]:
    """Tables of the page of the map (``sheet`` 0) or of a continuation page."""
    items: list[Item] = []
    for part in layout.parts:
        if part.sheet == sheet:
            items += _blocks(layout, part) if part.kind == "blocks" else _dense(layout, part)
    return items


def _plan(layout: Layout, part: Part) -> Plan:
    return table_plan(layout.plan) if part.sheet else layout.plan


def _title(layout: Layout, part: Part) -> str:
    bare = any(entry.how == "table" for entry in layout.entries[part.first : part.last])
    note = f"　序号带{_UNMARKED}的图上注不下" if bare else ""
    return TITLES[part.kind] + ("" if part.begins else "（续）") + note


def _number(entry: Entry) -> str:
    return f"{entry.number}{_UNMARKED if entry.how == 'table' else ''}"


def _dense_texts(layout: Layout, part: Part) -> list[tuple[str, ...]]:
    """Cells of each row of a dense list."""
    if part.kind == "places":
        return [(short, f"{page}") for short, page in layout.places[part.first : part.last]]
    entries = layout.entries[part.first : part.last]
    if part.kind == "elsewhere":
        return [(_number(entry), entry.short_code, entry.remark) for entry in entries]
    shapes = code_list("piece_shape")
    return [
        (_number(entry), entry.piece_code, f"{entry.area_mu:.2f}", shapes[entry.piece_shape])
        for entry in entries
    ]


def _edges(columns: Sequence[tuple[str, float]], left: float, width: float) -> list[float]:
    shares = np.cumsum([0.0, *(share for _, share in columns)])
    return [float(edge) for edge in left + width * shares / shares[-1]]


def _blocks(layout: Layout, part: Part) -> list[Item]:
    plan, pen = _plan(layout, part), Pen(measure=layout.measure)
    columns = (*_BLOCKS, _CODE) if part.coded else _BLOCKS
    edges = _edges(columns, part.x_mm, part.width_mm)
    head, size = head_mm(plan, part.kind), plan.text_pt
    names = code_list("piece_class")
    top = part.top_mm - head
    items: list[Item] = [
        pen.cell(
            _title(layout, part),
            (part.x_mm, top, part.x_mm + part.width_mm, part.top_mm),
            size * 1.15,
            bold=True,
        )
    ]
    rules = [top, top - head]
    items += [
        pen.cell(title, (edges[i], top - head, edges[i + 1], top), size * 0.92)
        for i, (title, _) in enumerate(columns)
    ]
    y = top - head
    for entry in layout.entries[part.first : part.last]:
        low = y - part.row_mm
        texts = (_number(entry), entry.piece_code, f"{entry.area_mu:.2f}", names[entry.piece_class])
        for i, text in enumerate(texts):
            cell = (edges[i], low, edges[i + 1], y)
            items.append(pen.cell(text, cell, size, anchor="end" if i == _AREA else "middle"))
        if entry.remark:
            items.append(pen.cell(entry.remark, (edges[7], low, edges[8], y), plan.small_pt, anchor="start"))
        if part.coded:
            side = min(part.row_mm, edges[9] - edges[8])
            items.append(bar_code(entry.piece_code, (edges[8] + edges[9] - side) / 2, low, side))
        y = low
        rules.append(y)
    bottom = y
    if part.ends:
        blocks = [e for e in layout.entries if e.at_home and e.piece_shape == "BLOCK"]
        bottom = y - head
        rules.append(bottom)
        items.append(pen.cell(f"合计  {len(blocks)} 块", (edges[0], bottom, edges[2], y), size, bold=True))
        items.append(
            pen.cell(f"{_sum_mu(blocks):.2f}", (edges[2], bottom, edges[3], y), size, anchor="end", bold=True)
        )
    verticals = [(edge, y if part.ends and i == 1 else bottom) for i, edge in enumerate(edges)]
    lines = [((edges[0], rule), (edges[-1], rule)) for rule in rules]
    lines += [((edge, top), (edge, low)) for edge, low in verticals]
    items += [strokes(lines, THIN), frame_of((edges[0], bottom, edges[-1], top), THICK)]
    return items


def _dense(layout: Layout, part: Part) -> list[Item]:
    plan, pen = _plan(layout, part), Pen(measure=layout.measure)
    columns, abreast = _DENSE[part.kind], ABREAST[part.kind]
    size, head = plan.small_pt, head_mm(plan, part.kind)
    rows = _dense_texts(layout, part)
    top = part.top_mm - head
    items: list[Item] = [
        pen.cell(_title(layout, part), (part.x_mm, top, part.x_mm + part.width_mm, part.top_mm), size * 1.3)
    ]
    bottom = top - head - part.lines * part.row_mm
    each = part.width_mm / abreast
    lines = []
    for column in range(abreast):
        edges = _edges(columns, part.x_mm + column * each, each)
        items += [
            pen.cell(title, (edges[i], top - head, edges[i + 1], top), size)
            for i, (title, _) in enumerate(columns)
        ]
        lines += [((edge, top), (edge, bottom)) for edge in edges]
        for row, texts in enumerate(rows[column * part.lines : (column + 1) * part.lines]):
            y = top - head - row * part.row_mm
            items += [
                pen.cell(text, (edges[i], y - part.row_mm, edges[i + 1], y), size)
                for i, text in enumerate(texts)
            ]
    lines += [
        (
            (part.x_mm, top - head - row * part.row_mm),
            (part.x_mm + part.width_mm, top - head - row * part.row_mm),
        )
        for row in range(part.lines + 1)
    ]
    low = bottom
    if part.ends and part.kind == "rest":
        rest = [e for e in layout.entries if e.at_home and e.piece_shape != "BLOCK"]
        low = bottom - head
        text = f"合计  {len(rest)} 块  {_sum_mu(rest):.2f} 亩"
        items.append(pen.cell(text, (part.x_mm, low, part.x_mm + part.width_mm, bottom), size))
    items += [strokes(lines, THIN), frame_of((part.x_mm, low, part.x_mm + part.width_mm, top), THICK)]
    return items


def _sum_mu(entries: Sequence[Entry]) -> float:
    """Mu of the sum of stored areas, not the sum of rounded mu."""
    return float(mu(from_cents(to_cents([entry.area_m2 for entry in entries]).sum())))
