"""The index map of a set: which page shows which land, for the county on one page and for each village on its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo.atomic import whole_file
from geo.sheets.draw import pdf
from geo.sheets.fonts import measure
from geo.sheets.page import PAPERS, Item, Page, Shapes, Style, Text

PAPER: Final = "A3"
SCALES: Final = (
    2_000, 2_500, 3_000, 4_000, 5_000, 6_000, 8_000, 10_000, 12_500, 15_000, 20_000, 25_000, 30_000, 40_000, 50_000,
    60_000, 80_000, 100_000, 125_000, 150_000, 200_000, 250_000, 300_000, 400_000, 500_000, 1_000_000,
)  # fmt: skip

_EDGE_MM: Final = 12.0
_HEAD_MM: Final = 18.0
_FOOT_MM: Final = 8.0
_LABEL_PT: Final = (7.0, 3.5)  # largest, smallest: below it a number is left to the village's own page
_ACROSS: Final = 0.9  # of a page's width that its number may take

Floats = npt.NDArray[np.float64]
ToPaper = Callable[[Floats], Floats]

_VILLAGE: Final = Style(stroke=(0.45, 0.45, 0.45), width_mm=0.35, dash_mm=(3.0, 1.0))
_COLOURS: Final = (  # of units that lie beside each other
    (0.00, 0.35, 0.67), (0.72, 0.16, 0.10), (0.10, 0.48, 0.20),
    (0.52, 0.20, 0.60), (0.70, 0.42, 0.00), (0.00, 0.48, 0.50),
)  # fmt: skip
_EMPTY: Final = Style(stroke=(0.6, 0.6, 0.6), width_mm=0.13, dash_mm=(1.0, 1.0))
_FAILED: Final = Style(stroke=(0.8, 0.1, 0.1), width_mm=0.3, fill=(0.8, 0.1, 0.1), opacity=0.15)
_BORDER: Final = Style(stroke=(0.0, 0.0, 0.0), width_mm=0.5)


def write_overview(sheets: gpd.GeoDataFrame, villages: gpd.GeoDataFrame, path: Path, *, by: str) -> None:
    """Write the index map as PDF.

    Parameters
    ----------
    sheets : GeoDataFrame
        Layer ``sheets``.
    villages : GeoDataFrame
        Layer ``villages`` in the same CRS.
    path : Path
    by : str
        Kind of the units: group, village or sheet.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with whole_file(path) as scratch:
        scratch.write_bytes(pdf(tuple(index_pages(sheets, villages, by=by)), title="图幅索引图"))


def index_pages(sheets: gpd.GeoDataFrame, villages: gpd.GeoDataFrame, *, by: str) -> Iterator[Page]:
    """Pages of the index map: the county, then each village that has a page, by code."""
    shapes = sheets.geometry.to_numpy()
    placed = sheets[~shapely.is_missing(shapes) & (sheets["sheet_kind"] != "overview").to_numpy()]
    villages = villages[~shapely.is_missing(villages.geometry.to_numpy())].sort_values(
        "village_code", kind="stable"
    )
    yield _page("图幅索引图", placed, villages, "")
    if by == "village":
        return
    for code, name, border in zip(
        villages["village_code"], villages["village_name"], villages.geometry, strict=True
    ):
        if by == "sheet":
            mine = placed[shapely.intersects(placed.geometry.to_numpy(), border)]
        else:
            mine = placed[placed["unit_code"].fillna("").str.startswith(code)]
        if len(mine):
            around = villages[shapely.intersects(villages.geometry.to_numpy(), border)]
            yield _page(f"{name or code} 图幅索引图", mine, around, code)


def _page(title: str, sheets: gpd.GeoDataFrame, villages: gpd.GeoDataFrame, prefix: str) -> Page:
    width, height = PAPERS[PAPER]
    room = np.array([width - 2 * _EDGE_MM, height - 2 * _EDGE_MM - _HEAD_MM - _FOOT_MM])
    corner = np.array([_EDGE_MM, _EDGE_MM + _FOOT_MM])
    shown = sheets if len(sheets) else villages
    bounds = np.array(shown.total_bounds if len(shown) else [0.0, 0.0, 1.0, 1.0])
    if not prefix and len(villages):
        whole = villages.total_bounds
        bounds = np.r_[np.minimum(bounds[:2], whole[:2]), np.maximum(bounds[2:], whole[2:])]
    extent = np.maximum(bounds[2:] - bounds[:2], 1.0)
    needed = float((extent * 1000 / room).max())
    scale = next((one for one in SCALES if one >= needed), int(np.ceil(needed / SCALES[-1])) * SCALES[-1])
    middle = (bounds[:2] + bounds[2:]) / 2

    def to_mm(xy: Floats) -> Floats:
        return np.asarray(corner + room / 2 + (xy - middle) * (1000 / scale), dtype=np.float64)

    box = corner + room * np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    items: list[Item] = [
        Text(
            layer="图名",
            text=title,
            x_mm=width / 2,
            y_mm=height - _EDGE_MM - 9,
            size_pt=16,
            anchor="middle",
            bold=True,
        ),
        Text(
            layer="图名",
            text=f"比例尺 1:{scale}    图幅 {len(sheets)} 页",
            x_mm=width / 2,
            y_mm=_EDGE_MM,
            size_pt=8,
            anchor="middle",
        ),
    ]
    items += _outlines("村界", villages, _VILLAGE, to_mm, box)
    failed = sheets["status"] == "出错"
    empty = (sheets["sheet_kind"] == "empty") & ~failed
    colour = _colours(sheets)
    items += _outlines("图幅", sheets[empty], _EMPTY, to_mm, box)
    for at, stroke in enumerate(_COLOURS):
        style = Style(stroke=stroke, width_mm=0.2)
        items += _outlines("图幅", sheets[~empty & ~failed & (colour == at)], style, to_mm, box)
    items += _outlines("图幅", sheets[failed], _FAILED, to_mm, box)
    items += _numbers(sheets, colour, prefix, to_mm, scale)
    if not prefix:
        items += _names(villages, to_mm, scale)
    items.append(Shapes(layer="图名", rings=(box,), style=_BORDER))
    return Page(
        width_mm=width,
        height_mm=height,
        title=title,
        items=tuple(items),
        layers=("村界", "图幅", "图号", "村名"),
    )


def _outlines(layer: str, rows: gpd.GeoDataFrame, style: Style, to_mm: ToPaper, box: Floats) -> list[Item]:
    parts = shapely.get_parts(rows.geometry.to_numpy())
    rings = tuple(
        to_mm(shapely.get_coordinates(ring)) for part in parts for ring in (part.exterior, *part.interiors)
    )
    return [Shapes(layer=layer, rings=rings, style=style, clip=box)] if rings else []


def _colours(sheets: gpd.GeoDataFrame) -> pd.Series:
    """Number of each page's colour: pages of one unit have one; where every unit has one page, all have."""
    units = pd.factorize(sheets["unit_code"].fillna(""), sort=True)[0]
    units = units if len(set(units)) < len(units) else units * 0
    return pd.Series(units % len(_COLOURS), index=sheets.index)


def _numbers(
    sheets: gpd.GeoDataFrame, colour: pd.Series, prefix: str, to_mm: ToPaper, scale: int
) -> Iterator[Item]:
    """Number of each page in its north-west corner: pages overlap, but seldom there."""
    for number, at, shape in zip(sheets["sheet_number"], colour, sheets.geometry, strict=True):
        west, _, east, north = shape.bounds
        text = number.removeprefix(prefix).removeprefix("-") or number
        room = _ACROSS * (east - west) * 1000 / scale
        size = min(_LABEL_PT[0], room / measure(text, 1.0))
        if size >= _LABEL_PT[1]:
            x, y = to_mm(np.array([[west, north]]))[0].tolist()
            yield Text(
                layer="图号",
                text=text,
                x_mm=x + 0.8,
                y_mm=y - 0.4 * size,
                size_pt=size,
                colour=_COLOURS[at],
                halo_mm=0.4,
            )


def _names(villages: gpd.GeoDataFrame, to_mm: ToPaper, scale: int) -> Iterator[Item]:
    for name, shape in zip(villages["village_name"].fillna(""), villages.geometry, strict=True):
        west, _, east, _ = shape.bounds
        room = (east - west) * 1000 / scale
        size = min(_LABEL_PT[0], room / measure(name, 1.0)) if name else 0.0
        if size >= _LABEL_PT[1]:
            x, y = to_mm(shapely.get_coordinates(shape.representative_point()))[0].tolist()
            yield Text(
                layer="村名",
                text=name,
                x_mm=x,
                y_mm=y + 0.3 * size,
                size_pt=size,
                anchor="middle",
                halo_mm=0.4,
            )
