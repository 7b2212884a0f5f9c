"""Where things stand on each paper: zones, columns and sizes of type, in millimetres and points.

The map takes the left of the paper and a column of legend, tables and
signatures the right; title, secrecy and adjoining index stand over the outer
neat line, system, scale and producer under it.

Source: the order of the margin is that of GB/T 20257.1-2017, appendix C.
"""

from dataclasses import dataclass
from typing import Final

from geo.errors import InputError
from geo.sheets.page import MAP_WINDOWS, PAPERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One paper, landscape."""

    paper: str
    edge_mm: float  # of the paper that stays blank
    gap_mm: float  # between inner and outer neat line
    foot_mm: float  # texts under the outer neat line
    title_pt: float
    number_pt: float
    text_pt: float
    small_pt: float  # coordinates, dense lists
    row_mm: float  # of the area table: a row is written in by hand
    index_cell_mm: tuple[float, float]
    sheet_qr_mm: float

    @property
    def width(self) -> float:
        """Of the paper."""
        return PAPERS[self.paper][0]

    @property
    def height(self) -> float:
        """Of the paper."""
        return PAPERS[self.paper][1]

    @property
    def map_left(self) -> float:
        """Of the zone the map may take."""
        return self.edge_mm + self.gap_mm

    @property
    def map_bottom(self) -> float:
        """Of the zone the map may take."""
        return self.edge_mm + self.foot_mm + self.gap_mm

    @property
    def map_right(self) -> float:
        """Of the zone the map may take."""
        return self.map_left + MAP_WINDOWS[self.paper][0]

    @property
    def map_top(self) -> float:
        """Of the zone the map may take."""
        return self.map_bottom + MAP_WINDOWS[self.paper][1]

    @property
    def column_left(self) -> float:
        """Of the column beside the map."""
        return self.map_right + self.gap_mm + 4.0

    @property
    def column_width(self) -> float:
        """Of the column beside the map."""
        return self.width - self.edge_mm - self.column_left

    @property
    def legend_mm(self) -> float:
        """Height of the legend, with the sheet's bar code beside it."""
        return max(self.sheet_qr_mm + self.line_mm * 1.8, self.legend_line_mm * 6.35)

    @property
    def legend_line_mm(self) -> float:
        """From one row of the legend to the next."""
        return self.line_mm * 1.3

    @property
    def line_mm(self) -> float:
        """From one line of text to the next."""
        return self.text_pt * 0.62

    @property
    def dense_mm(self) -> float:
        """Height of a row of a dense list."""
        return self.small_pt * 0.56

    @property
    def signatures_mm(self) -> float:
        """Height of the signature block."""
        return 3 * self.row_mm * 1.25

    @property
    def table_top(self) -> float:
        """Where the tables beside the map begin, under the legend."""
        return self.height - self.edge_mm - self.legend_mm - 3.0

    @property
    def table_bottom(self) -> float:
        """Where they end, over the signatures."""
        return self.edge_mm + self.signatures_mm + 3.0


PLANS: Final = {
    plan.paper: plan
    for plan in (
        Plan(
            paper="A4", edge_mm=7, gap_mm=6, foot_mm=17, title_pt=13, number_pt=8, text_pt=6, small_pt=5,
            row_mm=5.4, index_cell_mm=(11, 5.4), sheet_qr_mm=22,
        ),
        Plan(
            paper="A3", edge_mm=8, gap_mm=8, foot_mm=22, title_pt=17, number_pt=10, text_pt=7, small_pt=5.5,
            row_mm=6.2, index_cell_mm=(14, 6.6), sheet_qr_mm=25,
        ),
        Plan(
            paper="A1", edge_mm=15, gap_mm=12, foot_mm=32, title_pt=28, number_pt=16, text_pt=10, small_pt=7,
            row_mm=8, index_cell_mm=(26, 13), sheet_qr_mm=34,
        ),
        Plan(
            paper="A0", edge_mm=20, gap_mm=12, foot_mm=38, title_pt=34, number_pt=20, text_pt=12, small_pt=8,
            row_mm=9, index_cell_mm=(32, 15), sheet_qr_mm=40,
        ),
    )
}  # fmt: skip


def table_plan(plan: Plan) -> Plan:
    """The plan of further pages, which hold tables alone: those of a plotter's sheet fit an office printer."""
    return PLANS["A3"] if plan.width > PLANS["A3"].width else plan


def plan_of(paper: str) -> Plan:
    """The plan of a paper.

    Raises
    ------
    InputError
        If there is no such paper.
    """
    if paper not in PLANS:
        raise InputError(f"没有纸张“{paper}”；可用：{'、'.join(PLANS)}")
    return PLANS[paper]
