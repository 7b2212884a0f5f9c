"""What stands round a map: neat lines, coordinates, title, adjoining index, legend, scale, signatures.

Source: GB/T 20257.1-2017, appendix C: name over number in the middle above,
adjoining index above left, secrecy class above right, system and datum below
left, scale below in the middle, producer and date below right.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import shapely

from geo.area import from_cents, mu, to_cents
from geo.sheets.frames import Frame
from geo.sheets.hatch import hatch
from geo.sheets.labels import MM_PER_PT
from geo.sheets.layout import CLASSES, SIGNATURES, Layout
from geo.sheets.page import Floats, Item, Shapes, Style, Text
from geo.sheets.pen import BLACK, MARGIN, THICK, THIN, Pen, bar_code, frame_of, rectangle, strokes
from geo.sheets.plan import table_plan
from geo.sheets.symbols import HATCHES, LINES, NAMES, PIECES
from geo.sheets.table import RULED_GAP_MM
from geo.standards import code_list

_OUTER_MM: Final = 1.0  # width of the outer neat line
_TICK_MM: Final = 4.0
_CLEAR_MM: Final = 7.0  # between a corner's coordinates and a tick's
_SIDE_OF: Final = {"west": 0, "north": 1, "east": 2, "south": 3}
_WAYS: Final = ("w", "n", "e", "s")
_ARROW_MM: Final = 11.0
_LEFT_PART: Final = 0.36  # of the foot: system, datum, vintage
_RIGHT_PART: Final = 0.245  # producer, date, page


def margin(layout: Layout) -> list[Item]:
    """Everything round the map but the column beside it."""
    pen = Pen(measure=layout.measure)
    return [
        *_neat_lines(layout),
        *_coordinates(layout, pen),
        *_head(layout, pen),
        *(
            _index(layout, pen) if layout.neighbours else ()
        ),  # a page that stands alone has no place among others
        *_foot(layout, pen),
    ]


def column(layout: Layout, frame: Frame) -> list[Item]:
    """Legend and sheet's bar code above, signatures below; on an overview sums and balance between."""
    pen = Pen(measure=layout.measure)
    items = [*_legend(layout, pen), *_signatures(layout, pen)]
    if frame.kind == "overview":
        items += _summary(layout, pen)
    elif frame.kind == "empty":
        items += _areas_table(layout, pen, layout.plan.table_top - layout.plan.row_mm)
        left, top, wide = layout.plan.column_left, layout.plan.table_top, layout.plan.column_width
        box = (left, top - layout.plan.row_mm, left + wide, top)
        items.append(pen.cell(layout.finding, box, layout.plan.text_pt * 1.3, bold=True))
    return items


def continuation(layout: Layout, sheet: int) -> list[Item]:
    """Head and foot of a page that holds tables alone."""
    plan, pen = table_plan(layout.plan), Pen(measure=layout.measure)
    top = plan.height - plan.edge_mm
    y = top - plan.title_pt * 0.8 * MM_PER_PT
    low = plan.edge_mm + plan.text_pt * MM_PER_PT
    right = plan.width - plan.edge_mm
    tables = "图块所在页" if layout.places else "面积表"
    sheets = f"{layout.page_text}  附表 {sheet}/{layout.continuation_pages}"
    words = "    ".join(f"{name}：____________" for name in SIGNATURES)
    return [
        pen.text(f"{layout.title}{tables}（续）", plan.width / 2, y, plan.title_pt * 0.8, anchor="middle", bold=True,
                 width=plan.width * 0.6),
        pen.text(layout.number, plan.edge_mm, y, plan.number_pt, width=plan.width * 0.18),
        pen.text(layout.settings.secrecy, right, y, plan.number_pt, anchor="end", width=plan.width * 0.18),
        pen.text(words, plan.edge_mm, low + plan.line_mm, plan.text_pt, width=plan.width * 0.8),
        pen.text(sheets, right, low, plan.text_pt, anchor="end"),
        pen.text(layout.settings.date, plan.edge_mm, low, plan.text_pt),
    ]  # fmt: skip


def outer_corners(frame_mm: Floats, gap_mm: float) -> Floats:
    """The outer neat line: each side of the inner one moved outwards."""
    grown = shapely.buffer(shapely.Polygon(frame_mm), gap_mm, join_style="mitre", mitre_limit=10)
    ring = shapely.get_coordinates(grown.exterior)[:-1]
    nearest = [int(np.argmin(np.hypot(*(ring - corner).T))) for corner in frame_mm]
    return ring[nearest]


def _neat_lines(layout: Layout) -> list[Item]:
    inner = layout.place.frame_mm
    gap = layout.plan.gap_mm
    outer = outer_corners(inner, gap - _OUTER_MM / 2)
    ties = []
    for corner, start, end in zip(outer, np.roll(inner, 1, axis=0), np.roll(inner, -1, axis=0), strict=True):
        here = inner[int(np.argmin(np.hypot(*(inner - corner).T)))]
        # The sides run on to the outer line, which boxes the corner's coordinates in.
        for other in (start, end):
            away = here - other
            ties.append((here, here + away / np.hypot(*away) * (gap - _OUTER_MM)))
    return [
        Shapes(layer=MARGIN, rings=(inner,), style=Style(stroke=BLACK, width_mm=0.15)),
        Shapes(layer=MARGIN, rings=(outer,), style=Style(stroke=BLACK, width_mm=_OUTER_MM)),
        strokes(ties, THIN),
    ]


def _coordinates(layout: Layout, pen: Pen) -> list[Item]:
    """Ticks of the kilometre grid, their values and those of the corners, and the adjoining pages' numbers."""
    inner, plan = layout.place.frame_mm, layout.plan
    size = plan.small_pt * 0.95
    gap = plan.gap_mm - _OUTER_MM
    low = _lift(size)
    items: list[Item] = []
    lines = []
    longest = max((pen.measure(across, size) for _, across in layout.corner_texts), default=0.0)
    taken: dict[str, list[float]] = {side: [] for side in _SIDE_OF}
    for number, (along, across) in enumerate(layout.corner_texts):
        # Northing (or latitude) beside the west and east side, easting above and below.
        x, y = inner[number].tolist()
        west, south = number in {0, 1}, number in {0, 3}
        step = _lift(size) * 2.6
        side, level = (x - gap / 2 if west else x + gap / 2), (y + 1.0 if south else y - step)
        items.append(pen.text(along, side, level, size, anchor="middle", width=gap - 0.6))
        side, level = (x + 0.8 if west else x - 0.8), (y - gap / 2 if south else y + gap / 2)
        items.append(pen.text(across, side, level - low, size, anchor="start" if west else "end"))
    middles = (inner + np.roll(inner, -1, axis=0)) / 2
    for side, number in _SIDE_OF.items():
        axis = 1 if side in {"west", "east"} else 0
        taken[side] += [float(inner[number][axis]), float(inner[(number + 1) % 4][axis])]
        text = layout.neighbours.get(_WAYS[number], "")
        if not text:
            continue
        taken[side] += [float(middles[number][axis]) + shift for shift in (-6.0, 0.0, 6.0)]
        angle = {"west": 90.0, "east": -90.0}.get(side, 0.0)
        x, y = (middles[number] + _outward(inner, number) * gap / 2).tolist()
        x, y = (x + low if angle > 0 else x - low, y) if angle else (x, y - low)
        items.append(pen.text(text, x, y, size, anchor="middle", angle_deg=angle))
    for tick in layout.ticks:
        number = _SIDE_OF[tick.side]
        at = layout.place.mm(np.array(tick.at_map))
        out = _outward(inner, number)
        axis = 1 if tick.side in {"west", "east"} else 0
        lines.append((at, at + out * (gap if axis else _TICK_MM / 2)))
        room = _CLEAR_MM if axis else pen.measure(tick.text, size) / 2 + longest + 2
        if min(abs(float(at[axis]) - other) for other in taken[tick.side]) < room:
            continue
        x, y = (at + out * (gap / 2 + 0.4)).tolist()
        # Beside the map the value stands on its tick, above and below at the tick's end.
        y, width = (y + 0.5, gap - 0.6) if axis else (y - low, None)
        items.append(pen.text(tick.text, x, y, size, anchor="middle", width=width))
    return [*items, strokes(lines, THIN)]


def _lift(size_pt: float) -> float:
    """From the baseline to the middle of figures."""
    return 0.36 * size_pt * MM_PER_PT


def _outward(inner: Floats, number: int) -> Floats:
    """Unit normal of a side, away from the map; corners run clockwise."""
    along = inner[(number + 1) % 4] - inner[number]
    normal = np.array([-along[1], along[0]])
    out: Floats = normal / np.hypot(*normal)
    return out


def _bounds(layout: Layout) -> tuple[float, float, float, float]:
    outer = outer_corners(layout.place.frame_mm, layout.plan.gap_mm)
    (left, bottom), (right, top) = outer.min(axis=0).tolist(), outer.max(axis=0).tolist()
    return left, bottom, right, top


def _head(layout: Layout, pen: Pen) -> list[Text]:
    plan = layout.plan
    left, _, right, top = _bounds(layout)
    middle, number_y = (left + right) / 2, top + 2.5
    title_y = number_y + plan.number_pt * MM_PER_PT * 1.45
    room = max(40.0, right - left - 2 * (3 * plan.index_cell_mm[0] + 4))
    return [
        pen.text(layout.title, middle, title_y, plan.title_pt, anchor="middle", width=room, bold=True),
        pen.text(layout.number, middle, number_y, plan.number_pt, anchor="middle", width=room),
        pen.text(layout.settings.secrecy, right, number_y, plan.number_pt, anchor="end", bold=True),
    ]


def _index(layout: Layout, pen: Pen) -> list[Item]:
    """接图表: the page among its eight neighbours."""
    left, _, _, top = _bounds(layout)
    wide, high = layout.plan.index_cell_mm
    base = top + 1.5
    items: list[Item] = []
    centre = rectangle((left + wide, base + high, left + 2 * wide, base + 2 * high))
    items.append(strokes(hatch(np.array([shapely.Polygon(centre)]), spacing_mm=1.2, angle_deg=45), THIN))
    for row, texts in enumerate(layout.index):
        for at, text in enumerate(texts):
            low = base + (2 - row) * high
            if text and (row, at) != (1, 1):
                cell = (left + at * wide, low, left + (at + 1) * wide, low + high)
                items.append(pen.cell(text, cell, layout.plan.small_pt))
    grid = [((left + n * wide, base), (left + n * wide, base + 3 * high)) for n in range(4)]
    grid += [((left, base + n * high), (left + 3 * wide, base + n * high)) for n in range(4)]
    return [*items, strokes(grid, THIN)]


def _foot(layout: Layout, pen: Pen) -> list[Item]:
    plan, settings = layout.plan, layout.settings
    left, bottom, right, _ = _bounds(layout)
    wide = right - left
    left_part, right_part = wide * _LEFT_PART, wide * _RIGHT_PART
    first = bottom - 1.5 - plan.text_pt * MM_PER_PT
    system = [
        layout.system,
        "  ".join(text for text in (settings.height_datum, layout.convergence) if text),
        f"国土调查图斑：{settings.survey_vintage or '见成果说明'}",
        f"承包地确权：{settings.parcels_vintage or '见成果说明'}",
    ]
    credit = [
        f"编制单位：{settings.producer}",
        f"编制日期：{settings.date}",
        settings.note,
        layout.page_text,
    ]
    items: list[Item] = []
    for x, width, texts in ((left, left_part - 2, system), (right - right_part, right_part, credit)):
        items += [
            pen.text(text, x, first - n * plan.line_mm, plan.text_pt, width=width)
            for n, text in enumerate(texts)
        ]
    middle = (left + left_part + right - right_part) / 2 - 3
    level, size = first - plan.text_pt * 0.2, plan.number_pt * 1.2
    if layout.unmarked:
        told = f"图上注不下 {layout.unmarked} 块，见表中序号带*者；可另出更大比例尺的图"
        room = wide - left_part - right_part - 12
        items.append(
            pen.text(told, middle, first - 3 * plan.line_mm, plan.text_pt, anchor="middle", width=room)
        )
    if layout.place.crs is not None and layout.ticks:
        items.append(pen.text(f"1:{layout.place.scale}", middle, level, size, anchor="middle", bold=True))
        items += _scale_bar(layout, pen, middle, first - plan.number_pt * 0.55 - 2.2)
        items += _north(layout, pen, right - right_part - 6, bottom - 1)
    return items


def _scale_bar(layout: Layout, pen: Pen, middle: float, y: float) -> list[Item]:
    lengths = np.array(layout.bar_m) * 1000 / layout.place.scale
    start = middle - lengths[-1] / 2
    high, size = 1.2, layout.plan.small_pt
    dark = tuple(
        rectangle((start + a, y, start + b, y + high))
        for a, b in zip(lengths[:-1:2], lengths[1::2], strict=True)
    )
    items: list[Item] = [
        frame_of((start, y, start + lengths[-1], y + high), THIN),
        Shapes(layer=MARGIN, rings=dark, style=Style(fill=BLACK)),
    ]
    for number, (metres, at) in enumerate(zip(layout.bar_m, lengths, strict=True)):
        unit = "m" if number == len(lengths) - 1 else ""
        items.append(
            pen.text(f"{metres:g}{unit}", start + at, y - size * MM_PER_PT - 0.3, size, anchor="middle")
        )
    return items


def _north(layout: Layout, pen: Pen, x: float, top: float) -> list[Item]:
    """Grid north is up on every page."""
    tip, base = top - 3.2, top - 3.2 - _ARROW_MM * layout.plan.text_pt / 9
    left = np.array([[x, tip], [x - 1.6, base], [x, base + 1.6]])
    right = np.array([[x, tip], [x, base + 1.6], [x + 1.6, base]])
    return [
        Shapes(layer=MARGIN, rings=(left,), style=Style(stroke=BLACK, width_mm=0.12, fill=BLACK)),
        Shapes(layer=MARGIN, rings=(right,), style=THIN),
        pen.text("北", x, tip + 0.7, layout.plan.text_pt, anchor="middle"),
    ]


def _legend(layout: Layout, pen: Pen) -> list[Item]:
    plan = layout.plan
    left, top = plan.column_left, plan.height - plan.edge_mm
    size, line = plan.text_pt, plan.legend_line_mm
    wide = plan.column_width - plan.sheet_qr_mm - 4
    items: list[Item] = [
        frame_of((left, top - plan.legend_mm, left + plan.column_width, top), THIN),
        pen.cell("图  例", (left, top - line, left + wide, top), size * 1.15, bold=True),
    ]
    boxes = []
    for n in range(10):
        x = left + 2 + (n // 5) * wide / 2
        y = top - line * (1.25 + n % 5)
        boxes.append((x, y - line * 0.8, x + 9.0, y))
    for n, name in enumerate(CLASSES):
        items += _swatch(boxes[n], name)
    others = (
        ("细条（田坎、沟、路）", PIECES["UNCONFIRMED", "STRIP"]),
        ("碎屑（界线不一致的窄缝）", PIECES["UNCONFIRMED", "SLIVER"]),
        ("已确权承包地块", LINES["parcels"]),
        ("耕地图斑界", LINES["patches"]),
        ("邻接单位图块", LINES["others"]),
        ("村界", LINES["villages"]),
    )
    for box, (_, style) in zip(boxes[3:9], others, strict=True):
        left_, bottom, right, top_ = box
        if style is LINES["villages"]:
            y = (bottom + top_) / 2
            items.append(strokes([((left_, y), (right, y))], style))
        else:
            items.append(frame_of(box, style))
    x0, y0, x1, y1 = boxes[9]
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    turn = np.linspace(0, 2 * np.pi, 25)[:-1]
    circle = centre + np.column_stack([np.cos(turn), np.sin(turn)]) * (y1 - y0) * 0.46
    items.append(Shapes(layer=MARGIN, rings=(circle,), style=THIN))
    items.append(pen.cell("8", boxes[9], plan.small_pt))
    texts = [*(NAMES[name] for name in CLASSES), *(text for text, _ in others), "注记号（见表中序号）"]
    for (_, bottom, right, top_), text in zip(boxes, texts, strict=True):
        items.append(pen.cell(text, (right + 1, bottom, right + wide / 2 - 11, top_), size, anchor="start"))
    code_left = left + plan.column_width - plan.sheet_qr_mm - 1
    base = top - plan.legend_mm + plan.line_mm * 0.8
    items.append(bar_code(layout.payload, code_left, base, plan.sheet_qr_mm))
    under = (code_left, base - plan.line_mm * 0.7, code_left + plan.sheet_qr_mm, base + 0.6)
    items.append(pen.cell("本页编号", under, plan.small_pt))
    return items


def _swatch(box: tuple[float, float, float, float], name: str) -> list[Item]:
    ring = rectangle(box)
    style = PIECES[name, "BLOCK"]
    items: list[Item] = [Shapes(layer=MARGIN, rings=(ring,), style=style)]
    for angle, spacing, dash in HATCHES[name]:
        items.append(
            strokes(
                hatch(np.array([shapely.Polygon(ring)]), spacing_mm=spacing, angle_deg=angle),
                Style(stroke=style.stroke, width_mm=0.1, dash_mm=dash),
            )
        )
    return items


def _signatures(layout: Layout, pen: Pen) -> list[Item]:
    plan = layout.plan
    left, bottom, wide = plan.column_left, plan.edge_mm, plan.column_width
    high = plan.signatures_mm / 3
    right, top = left + wide, bottom + plan.signatures_mm
    items: list[Item] = []
    for n, text in enumerate(SIGNATURES):
        x, y = left + (n % 2) * wide / 2, top - (n // 2 + 1) * high
        items.append(pen.cell(f"{text}：", (x, y, x + wide / 2, y + high), plan.text_pt, anchor="start"))
    last = (left, bottom, right, bottom + high)
    items.append(pen.cell("认定日期：        年      月      日", last, plan.text_pt, anchor="start"))
    rules = [((left, bottom + n * high), (right, bottom + n * high)) for n in (1, 2)]
    rules.append(((left + wide / 2, bottom + high), (left + wide / 2, top)))
    return [*items, strokes(rules, THIN), frame_of((left, bottom, right, top), THICK)]


def _summary(layout: Layout, pen: Pen) -> list[Item]:
    """Sums of the unit's pieces by class and shape, pages they are on, and the unit's balance."""
    names, shapes = code_list("piece_class"), code_list("piece_shape")
    rows = [
        (names[t.piece_class], shapes[t.piece_shape], f"{t.count}", f"{t.area_m2:.2f}", f"{t.area_mu:.2f}")
        for t in layout.totals
    ]
    area = from_cents(to_cents([t.area_m2 for t in layout.totals]).sum())
    rows.append(
        ("合计", "", f"{sum(t.count for t in layout.totals)}", f"{area:.2f}", f"{float(mu(area)):.2f}")
    )
    heads = ("类别", "形状", "块数", "面积(㎡)", "面积(亩)")
    items, top = _ruled(layout, pen, "图块汇总", heads, rows, layout.plan.table_top)
    return [*items, *_areas_table(layout, pen, top)]


def _areas_table(layout: Layout, pen: Pen, top: float) -> list[Item]:
    if not layout.balance:
        return []
    rows = [(title, f"{area:.2f}", f"{float(mu(area)):.2f}") for title, area in layout.balance]
    title = "面积平衡（集体耕地 = 已确权 + 图块 + 细条 + 碎屑）"
    return _ruled(layout, pen, title, ("项目", "面积(㎡)", "面积(亩)"), rows, top)[0]


def _ruled(  # noqa: PLR0913, PLR0917 - a table and its place
    layout: Layout, pen: Pen, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], top: float
) -> tuple[list[Item], float]:
    plan = layout.plan
    left, wide, high = plan.column_left, plan.column_width, plan.row_mm
    each = wide / len(heads)
    items: list[Item] = [
        pen.cell(title, (left, top - high, left + wide, top), plan.text_pt * 1.15, bold=True)
    ]
    head = top - high
    for row, texts in enumerate([heads, *rows]):
        y = head - row * high
        for n, text in enumerate(texts):
            figures = row > 0 and text[:1].isdigit()
            box = (left + n * each, y - high, left + (n + 1) * each - (4 if figures else 0), y)
            items.append(pen.cell(text, box, plan.text_pt, anchor="end" if figures else "middle"))
    bottom = head - (len(rows) + 1) * high
    lines = [((left, head - n * high), (left + wide, head - n * high)) for n in range(1, len(rows) + 1)]
    lines += [((left + n * each, bottom), (left + n * each, head)) for n in range(1, len(heads))]
    return [
        *items,
        strokes(lines, THIN),
        frame_of((left, bottom, left + wide, head), THICK),
    ], bottom - RULED_GAP_MM
