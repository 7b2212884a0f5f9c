"""The area table of a page: which rows stand where, and on how many further pages they go on.

Blocks come first, each with cells to be filled in by hand; strips and slivers
follow in a dense list, then the pieces whose rows stand on another page. An
overview lists on which page each block has its row. Parts fill the column
beside the map from the top; what is left goes to continuation pages, column by
column. No row is lost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from geo.sheets.plan import Plan, table_plan

PartKind = Literal["blocks", "rest", "elsewhere", "places"]

ROW_CODES: Final = 12  # so many blocks or fewer have a bar code each
CODE_ROW_MM: Final = 13.5
TITLES: Final = {
    "blocks": "图块面积表",
    "rest": "细条、碎屑面积表（只参加面积平衡；连成一片的窄缝是一个碎屑，面积为各缝之和）",
    "elsewhere": "邻页图块（在所注页填写）",
    "places": "图块所在页（细条、碎屑见各页）",
}
ABREAST: Final = {"blocks": 1, "rest": 3, "elsewhere": 4, "places": 4}  # rows beside each other
OF_A_MAP: Final[tuple[PartKind, ...]] = ("blocks", "rest", "elsewhere")
OF_AN_OVERVIEW: Final[tuple[PartKind, ...]] = ("places",)

_SUMMED: Final = ("blocks", "rest")
_TOTAL_ROWS: Final = 1
_BETWEEN_MM: Final = 3.0
RULED_GAP_MM: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some rows of a table in one place."""

    kind: PartKind
    sheet: int  # 0 is the page of the map, 1.. its continuation pages
    x_mm: float  # upper left corner
    top_mm: float
    width_mm: float
    row_mm: float
    first: int  # rows first..last - 1 of the page's entries
    last: int
    begins: bool  # the table begins here; else it goes on
    ends: bool  # its sum stands under it
    coded: bool = False  # each row has a bar code

    @property
    def heads(self) -> int:
        """Rows that hold no piece: title, column heads, sum."""
        return 2 + (_TOTAL_ROWS if self.ends and self.kind in _SUMMED else 0)

    @property
    def lines(self) -> int:
        """Rows that hold pieces, one under the other."""
        return -(-(self.last - self.first) // ABREAST[self.kind])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    sheet: int
    plan: Plan
    x: float
    top: float
    bottom: float


def head_mm(plan: Plan, kind: PartKind) -> float:
    """Height of a title, of column heads and of a sum."""
    return plan.row_mm if kind == "blocks" else plan.dense_mm * 1.15


def ruled_mm(plan: Plan, rows: int) -> float:
    """Height of a table of sums with its title and heads, and of the gap under it."""
    return (rows + 2) * plan.row_mm + RULED_GAP_MM


def flow(
    counts: Sequence[int],
    plan: Plan,
    *,
    top_mm: float,
    bottom_mm: float,
    kinds: Sequence[PartKind] = OF_A_MAP,
) -> tuple[Part, ...]:
    """Parts of the tables of one page.

    Parameters
    ----------
    counts : one for each of ``kinds``
        On a map blocks, strips and slivers, pieces of other pages. Entries stand in this order.
    plan : Plan
    top_mm, bottom_mm : float
        What is free of the column beside the map.
    kinds : sequence
        `OF_A_MAP` or `OF_AN_OVERVIEW`.

    Returns
    -------
    tuple of Part
        In the order of the rows, each row in one part. Blocks have bar codes if
        there are few of them and that costs no further page.
    """
    wanted = list(zip(kinds, counts, strict=True))
    plain = _flow(wanted, plan, top_mm, bottom_mm, coded=False)
    if not 0 < dict(wanted).get("blocks", 0) <= ROW_CODES:
        return plain
    coded = _flow(wanted, plan, top_mm, bottom_mm, coded=True)
    return coded if sheets_of(coded) <= sheets_of(plain) else plain


def sheets_of(parts: Sequence[Part]) -> int:
    """How many continuation pages the parts need."""
    return max((part.sheet for part in parts), default=0)


def _rooms(plan: Plan, top_mm: float, bottom_mm: float) -> Iterator[_Room]:
    """Columns to be filled, beside the map and then on as many further pages as it takes."""
    yield _Room(sheet=0, plan=plan, x=plan.column_left, top=top_mm, bottom=bottom_mm)
    plan = table_plan(plan)
    width = plan.column_width
    columns = int((plan.width - 2 * plan.edge_mm + 4.0) // (width + 4.0))
    top, bottom = plan.height - plan.edge_mm - plan.title_pt * 1.1, plan.edge_mm + plan.foot_mm
    sheet = 0
    while True:
        sheet += 1
        for column in range(columns):
            x = plan.edge_mm + column * (width + 4.0)
            yield _Room(sheet=sheet, plan=plan, x=x, top=top, bottom=bottom)


def _flow(
    wanted: Sequence[tuple[PartKind, int]], plan: Plan, top_mm: float, bottom_mm: float, *, coded: bool
) -> tuple[Part, ...]:
    rooms = _rooms(plan, top_mm, bottom_mm)
    room = next(rooms)
    top = room.top
    parts: list[Part] = []
    first = 0
    for kind, count in wanted:
        left, begins = count, True
        coded_here = coded and kind == "blocks"
        abreast = ABREAST[kind]
        while left:
            row = room.plan.row_mm if kind == "blocks" else room.plan.dense_mm
            row = CODE_ROW_MM if coded_here else row
            head = head_mm(room.plan, kind)
            # Room for the sum is kept in every part, so that it never stands alone.
            fit = int((top - room.bottom - 3 * head) // row) * abreast
            if fit < min(left, 2 * abreast):
                room = next(rooms)
                top = room.top
                continue
            rows = min(fit, left)
            part = Part(
                kind=kind,
                sheet=room.sheet,
                x_mm=room.x,
                top_mm=top,
                width_mm=room.plan.column_width,
                row_mm=row,
                first=first,
                last=first + rows,
                begins=begins,
                ends=rows == left,
                coded=coded_here,
            )
            parts.append(part)
            top -= part.heads * head + part.lines * row + _BETWEEN_MM
            first, left, begins = first + rows, left - rows, False
    return tuple(parts)
