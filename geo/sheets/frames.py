"""Which pages a county's set has: the land each page shows, and at what place in the set it stands."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain, count
from typing import Final, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS, Transformer

from geo.crs import BEIJING54, CGCS2000, XIAN80, central_meridian, datum_of, gauss_kruger, zone_at, zone_of
from geo.errors import GeometryTypeError, InputError, MismatchError, MissingColumnError, MissingDatumError
from geo.sheets.index import sheet_bounds, sheet_neighbours, sheets_of_shapes
from geo.sheets.page import MAP_WINDOWS
from geo.sheets.shown import Floats, Names, adjoining, boxes, first, grouped, home, meeting, polygons
from geo.sheets.tiles import Window, aligned_start, tiles

Kind = Literal["map", "overview", "empty"]

OVERVIEW_SCALES: Final = (2_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000)

_LAST_PARCEL_OVERVIEW: Final = 5_000  # it leads to pages; farmland patches are enough for that
_LAST_PARCEL_SCALE: Final = 25_000
_LAST_PATCH_SCALE: Final = 25_000
_STEPS_MM: Final = (50.0, 25.0, 5.0, 1.0)  # how round a corner is: 100 m to 2 m at 1:2000
_STEPS_ACROSS: Final = 8  # the coarsest of which the map's height holds this many: finer ones only cost time
_ZONED: Final = (CGCS2000, XIAN80, BEIJING54)
_EDGE_DEG: Final = 1e-6  # a frame drawn with straight edges leaves its parallel by less than this
_UNIT_TITLE: Final = {"group_code": "未定组", "village_code": "未定村"}
_NAME_OF: Final = {"group_code": "group_name", "village_code": "village_name"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One page's land and its place in the set."""

    key: str  # names the page's file: group code, page; or sheet number; without characters a file name may not have
    kind: Kind  # an overview shows the whole set at a smaller scale; empty says that there are no pieces
    unit_code: str  # group or village code, or sheet number
    unit_name: str
    number: str  # as printed under the name: the sheet number, or group code and page
    scale: int  # denominator
    corners: Floats  # 4 x 2, map CRS: from the south-west corner, clockwise; all NaN where an empty unit lies nowhere
    paper: str  # key of geo.sheets.page.PAPERS, landscape
    page: int  # 1..pages within the unit
    pages: int
    neighbours: dict[
        str, str
    ]  # "n", "ne", … "nw" to the number of the page there; absent where there is none
    piece_codes: tuple[str, ...]  # pieces of the page's unit that meet it, sorted
    home_codes: tuple[str, ...] = ()  # of these, the ones whose table row stands here: one map page a piece
    crs: str = ""  # of the corners where the layers have another and must be brought into it: EPSG:4527
    # Of pieces that further units' pages show: the numbers of those pages, the one with its row first.
    others: dict[str, tuple[str, ...]] = field(default_factory=dict)


def map_size_mm(paper: str) -> tuple[float, float]:
    """Width and height of the largest map a paper takes, mm.

    Raises
    ------
    InputError
        If there is no such paper.
    """
    if paper not in MAP_WINDOWS:
        raise InputError(f"没有纸张“{paper}”；可用：{'、'.join(MAP_WINDOWS)}")
    return MAP_WINDOWS[paper]


def shows_parcels(frame: Frame) -> bool:
    """Whether contract parcels are drawn on a page; on one of a small scale they would be a blot."""
    return frame.scale <= (_LAST_PARCEL_OVERVIEW if frame.kind == "overview" else _LAST_PARCEL_SCALE)


def shows_patches(frame: Frame) -> bool:
    """Whether farmland patches are drawn; where one lost piece makes an overview wide, they would be a blot."""
    return frame.scale <= _LAST_PATCH_SCALE


def unit_frames(  # noqa: PLR0913 - the land, and how a page is cut
    pieces: gpd.GeoDataFrame,
    units: pd.DataFrame | None = None,
    *,
    by: Literal["group", "village"] = "group",
    parcels: gpd.GeoDataFrame | None = None,
    scale: int = 2_000,
    paper: str = "A3",
    overlap_mm: float = 10.0,
    overview: bool = True,
) -> list[Frame]:
    """Pages of every villager group, or of every village: an overview, then tiles that cover its pieces.

    Parameters
    ----------
    pieces : GeoDataFrame, n rows
        Polygons in a projected CRS, metres; columns ``piece_code`` and
        ``group_code`` or ``village_code``.
        A piece without code is covered like any other, and listed nowhere.
    units : DataFrame, optional
        Columns ``group_code`` (``village_code``) and, if known, ``group_name``
        (``village_name``); one of it that has no piece gets one page of kind
        "empty". Its geometry, if it has one, says where such a unit lies.
    by : "group" or "village"
    parcels : GeoDataFrame, optional
        Columns ``issuer_code``; say where a group lies that has neither.
    scale : int
        Denominator of the tiles.
    paper : str
        Key of `geo.sheets.page.MAP_WINDOWS`.
    overlap_mm : float
        A piece keeps this distance from the edges of at least one tile, if it is
        small enough; a larger one is spread over tiles that overlap by twice this.
    overview : bool
        Whether a unit's pages begin with an overview, at the largest scale
        of `OVERVIEW_SCALES` smaller than theirs that shows all tiles.

    Returns
    -------
    list of Frame
        By the unit's code; the overview first, tiles from north to south and west
        to east. Corners lie on whole multiples of 50, 25, 5 or 1 mm
        of paper, the coarsest that serves.

    Raises
    ------
    InputError
        If there is no such paper, or the overlap leaves nothing of it.
    MissingColumnError
        If ``pieces`` lacks a column.
    MissingDatumError
        If ``pieces`` has no CRS.
    MismatchError
        If the CRS is not projected in metres.
    GeometryTypeError
        If a piece is no polygon, or empty.
    """
    plan = _Plan(
        unit=f"{by}_code",
        scale=scale,
        paper=paper,
        size_mm=map_size_mm(paper),
        overlap_mm=overlap_mm,
        overview=overview,
    )
    land = [(units, plan.unit), *([(parcels, "issuer_code")] if by == "group" else [])]
    return _every_unit(pieces, plan, units, land=land)


def sheet_frames(
    pieces: gpd.GeoDataFrame, *, scale: int = 2_000, paper: str = "A1", own_zone: bool = False
) -> list[Frame]:
    """National sheets that show at least one piece.

    Parameters
    ----------
    pieces : GeoDataFrame, n rows
        Polygons in a projected CRS, metres; column ``piece_code`` and, if
        known, ``village_name``: the sheet is called after the village that
        has most land on it.
    scale : int
        Denominator, one of the national series.
    paper : str
        Key of `geo.sheets.page.MAP_WINDOWS`.
    own_zone : bool
        Whether a sheet is drawn in the CGCS2000 3-degree zone it lies in where
        that is not the zone of ``pieces`` (a county across two zones). Then
        `Frame.crs` names it, and layers have to be brought into it. No sheet
        up to 1:250 000 lies across two zones.

    Returns
    -------
    list of Frame
        By sheet number. Corners are those of the sheet, brought into the CRS:
        a quadrilateral turned by the convergence, no rectangle. Each is page 1
        of 1; neighbours are sheets of this list.

    Raises
    ------
    InputError
        If there is no such paper, or a sheet is larger than it.
    MissingColumnError
        If ``pieces`` lacks a column.
    MissingDatumError
        If ``pieces`` has no CRS.
    MismatchError
        If the CRS is not projected in metres.
    GeometryTypeError
        If a piece is no polygon, or empty.
    CodeError
        If the series has no such scale.

    Notes
    -----
    Source: GB/T 13989-2012; 3-degree zones by CGCS2000.
    """
    size_mm = map_size_mm(paper)
    crs, shapes, codes = _land(pieces, ("piece_code",))
    near = boxes(_lonlat_bounds(shapes, crs) + _EDGE_DEG * np.array([-1, -1, 1, 1]))
    piece, number = sheets_of_shapes(near, scale)
    numbers, sheet = np.unique(number.astype(str), return_inverse=True)
    corners = _quadrilaterals(sheet_bounds(numbers), crs)
    piece, sheet, area = meeting(shapes, polygons(corners), piece, sheet)
    at_home = first(piece, np.lexsort((sheet, -area, piece)))
    villages = pieces["village_name"].fillna("").to_numpy(dtype=object) if "village_name" in pieces else None
    shown = sorted(set(sheet.tolist()))
    listed = {str(numbers[at]) for at in shown}
    by_sheet = grouped(sheet, len(numbers))
    row_first = np.lexsort((sheet, ~at_home, piece))
    on: dict[int, list[str]] = {}
    for one, there in zip(piece[row_first].tolist(), numbers[sheet[row_first]].tolist(), strict=True):
        on.setdefault(one, []).append(there)
    frames = []
    for at in shown:
        mine = by_sheet[at]
        code = str(numbers[at])
        drawn, system = _in_own_zone(corners[at], code, crs) if own_zone else (corners[at], "")
        _check_size(drawn, scale, size_mm, code, paper)
        frames.append(
            Frame(
                key=code,
                kind="map",
                unit_code=code,
                unit_name=_greatest(villages[piece[mine]], area[mine]) if villages is not None else "",
                number=code,
                scale=scale,
                corners=drawn,
                paper=paper,
                page=1,
                pages=1,
                neighbours={way: there for way, there in sheet_neighbours(code).items() if there in listed},
                piece_codes=_listed(codes[piece[mine]]),
                home_codes=_listed(codes[piece[mine[at_home[mine]]]]),
                crs=system,
                others={
                    str(codes[one]): tuple(there for there in on[one] if there != code)
                    for one in sorted(piece[mine].tolist(), key=lambda one: str(codes[one]))
                    if len(on[one]) > 1
                },
            )
        )
    return frames


def frame_shapes(frames: Sequence[Frame]) -> Names:
    """Land of each frame as a polygon, in the CRS of its corners; an empty polygon where it lies nowhere."""
    corners = np.array([frame.corners for frame in frames], dtype=np.float64).reshape(-1, 4, 2)
    nowhere = np.isnan(corners).any(axis=(1, 2))
    out = np.full(len(frames), shapely.Polygon(), dtype=object)
    out[~nowhere] = polygons(corners[~nowhere])
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    unit: str  # column of the pieces
    scale: int
    paper: str
    size_mm: tuple[float, float]
    overlap_mm: float
    overview: bool

    def window(self, scale: int) -> Window:
        """The page's map on the ground at a scale."""
        per_mm = scale / 1_000
        width, height = self.size_mm
        steps = [step for step in _STEPS_MM if step * _STEPS_ACROSS <= height] or [_STEPS_MM[-1]]
        return Window(
            width=width * per_mm,
            height=height * per_mm,
            margin=self.overlap_mm * per_mm,
            steps=tuple(step * per_mm for step in steps),
        )


def _every_unit(
    pieces: gpd.GeoDataFrame,
    plan: _Plan,
    units: pd.DataFrame | None,
    *,
    land: Sequence[tuple[pd.DataFrame | None, str]],
) -> list[Frame]:
    most = (min(plan.size_mm) - plan.window(1_000).steps[0]) / 2
    if not 0 <= plan.overlap_mm <= most:
        raise InputError(f"图幅重叠 {plan.overlap_mm:g} mm 不合适；{plan.paper} 纸应在 0 与 {most:g} mm 之间")
    crs, shapes, codes = _land(pieces, ("piece_code", plan.unit))
    unit = pieces[plan.unit].fillna("").to_numpy(dtype=object)
    names = _unit_names(pieces, units, plan.unit)
    numbers, unit_row = np.unique(unit.astype(str), return_inverse=True)
    rows = {str(number): mine for number, mine in zip(numbers, grouped(unit_row, len(numbers)), strict=True)}
    bounds = _extents(land, crs, set(names) - set(rows))
    frames: list[Frame] = []
    for code in sorted(set(rows) | set(names)):
        name = names.get(code, "") if code else _UNIT_TITLE[plan.unit]
        if code in rows:
            frames += _pages(shapes[rows[code]], codes[rows[code]], code, name, plan)
        else:
            frames.append(_empty(code, name, bounds.get(code), plan))
    return frames


def _pages(shapes: Names, codes: Names, code: str, name: str, plan: _Plan) -> list[Frame]:
    """An overview and map pages of one unit that has pieces."""
    window = plan.window(plan.scale)
    starts = tiles(shapes, window)
    corners = _rectangles(starts, window)
    piece, tile = shapely.STRtree(polygons(corners)).query(shapes, predicate="intersects")
    piece, tile, area = meeting(shapes, polygons(corners), piece, tile)
    at_home = home(shapely.bounds(shapes), starts, window, (piece, tile, area))
    pages = len(starts) + plan.overview
    digits = max(2, len(str(pages)))
    stem = code or _UNIT_TITLE[plan.unit]
    numbers = [f"{stem}-{page:0{digits}d}" for page in range(1, pages + 1)]
    page_one = Frame(
        key=_file_name(numbers[0]),
        kind="map",
        unit_code=code,
        unit_name=name,
        number=numbers[0],
        scale=plan.scale,
        corners=np.empty((4, 2)),
        paper=plan.paper,
        page=1,
        pages=pages,
        neighbours={},
        piece_codes=_listed(codes),
    )
    frames = []
    if plan.overview:
        scale, outline = _smaller(shapely.bounds(polygons(corners)), plan, above=plan.scale)
        frames.append(replace(page_one, kind="overview", scale=scale, corners=outline))
    around = adjoining(starts, window)
    by_tile = grouped(tile, len(starts))
    for at in range(len(starts)):
        page = at + 1 + plan.overview
        mine = by_tile[at]
        frames.append(
            replace(
                page_one,
                key=_file_name(numbers[page - 1]),
                number=numbers[page - 1],
                corners=corners[at],
                page=page,
                neighbours={way: numbers[there + plan.overview] for way, there in around[at].items()},
                piece_codes=_listed(codes[piece[mine]]),
                home_codes=_listed(codes[piece[mine[at_home[mine]]]]),
            )
        )
    return frames


def _empty(code: str, name: str, bounds: Floats | None, plan: _Plan) -> Frame:
    """The page of a unit without pieces: where it lies, if that is known."""
    scale, corners = plan.scale, np.full((4, 2), np.nan)
    if bounds is not None:
        scale, corners = _smaller(bounds.reshape(1, 4), plan, above=plan.scale - 1)
    return Frame(
        key=_file_name(f"{code}-01"),
        kind="empty",
        unit_code=code,
        unit_name=name,
        number=f"{code}-01",
        scale=scale,
        corners=corners,
        paper=plan.paper,
        page=1,
        pages=1,
        neighbours={},
        piece_codes=(),
    )


def _smaller(bounds: Floats, plan: _Plan, *, above: int) -> tuple[int, Floats]:
    """The largest usual scale smaller than 1:``above`` at which one page shows all, and the corners of that page."""
    west, south = bounds[:, :2].min(axis=0).tolist()
    east, north = bounds[:, 2:].max(axis=0).tolist()
    usual = sorted({plan.scale, *OVERVIEW_SCALES})
    for scale in chain(usual, (usual[-1] * 2**power for power in count(1))):  # the earth ends sooner
        window = plan.window(scale)
        x = aligned_start(west, east, window.width, window)
        y = aligned_start(south, north, window.height, window)
        if scale > above and x is not None and y is not None:
            break
    return scale, _rectangles(np.array([[x, y]], dtype=np.float64), window)[0]


def _land(pieces: gpd.GeoDataFrame, needed: Sequence[str]) -> tuple[CRS, Names, Names]:
    """CRS, valid polygons and codes of a layer, checked."""
    for column in needed:
        if column not in pieces:
            raise MissingColumnError(f"图块层缺少列 {column}；请检查工作区")
    if pieces.crs is None:
        raise MissingDatumError("图块层没有坐标系；请检查工作区")
    crs = CRS(pieces.crs)
    if not crs.is_projected or any(axis.unit_name != "metre" for axis in crs.axis_info):
        raise MismatchError(
            f"图块层的坐标系 {crs.name} 不是以米为单位的投影坐标系；请先投影到高斯-克吕格坐标系"
        )
    shapes = pieces.geometry.to_numpy(dtype=object).copy()
    stray = ~np.isin(shapely.get_type_id(shapes), [3, 6]) | shapely.is_empty(shapes)
    if stray.any():
        raise GeometryTypeError(f"图块层第 {int(np.argmax(stray)) + 1} 行没有面图形；请检查工作区")
    broken = ~shapely.is_valid(shapes)
    shapes[broken] = shapely.make_valid(shapes[broken])
    return crs, shapes, pieces["piece_code"].fillna("").to_numpy(dtype=object)


def _unit_names(pieces: gpd.GeoDataFrame, units: pd.DataFrame | None, unit: str) -> dict[str, str]:
    """Name of each unit that has a code, from its own table, else from the pieces."""
    names: dict[str, str] = {}
    for table in (units, pieces):
        if table is None:
            continue
        if unit not in table:
            raise MissingColumnError(f"分组表缺少列 {unit}")
        given = table[_NAME_OF[unit]] if _NAME_OF[unit] in table else pd.Series("", index=table.index)
        pairs = sorted(
            {(str(c), str(n)) for c, n in zip(table[unit].fillna(""), given.fillna(""), strict=True) if c}
        )
        for code, name in pairs:
            names[code] = names.get(code) or name
    return names


def _extents(
    land: Sequence[tuple[pd.DataFrame | None, str]], crs: CRS, wanted: set[str]
) -> dict[str, Floats]:
    """Bounds of units in the map CRS, from the first layer that knows them."""
    out: dict[str, Floats] = {}
    for table, column in land:
        if not isinstance(table, gpd.GeoDataFrame) or table.crs is None or column not in table:
            continue
        mine = table[
            table[column].isin(wanted - set(out)) & ~table.geometry.isna() & ~table.geometry.is_empty
        ]
        bounds = mine.geometry.to_crs(crs).bounds.groupby(mine[column])
        extent = pd.concat([bounds[["minx", "miny"]].min(), bounds[["maxx", "maxy"]].max()], axis=1)
        out |= {str(code): row.to_numpy(dtype=np.float64) for code, row in extent.iterrows()}
    return out


def _lonlat_bounds(shapes: Names, crs: CRS) -> Floats:
    points = shapely.get_coordinates(shapes)
    lon, lat = _projection(crs).transform(points[:, 0], points[:, 1], direction="INVERSE")
    lonlat = np.stack([lon, lat], axis=-1)
    bounds: Floats = shapely.bounds(shapely.set_coordinates(shapes.copy(), lonlat))
    return bounds


@cache
def _projection(crs: CRS) -> Transformer:
    """From longitude and latitude of its own datum."""
    if crs.geodetic_crs is None:
        raise MissingDatumError(f"坐标系 {crs.name} 没有大地基准；请改用 CGCS2000 坐标系")
    return Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True)


def _quadrilaterals(bounds: Floats, crs: CRS) -> Floats:
    """Corners of sheets in a CRS, n x 4 x 2, from south-west, clockwise."""
    west, south, east, north = bounds.T
    lon, lat = np.stack([west, west, east, east], axis=-1), np.stack([south, north, north, south], axis=-1)
    x, y = _projection(crs).transform(lon, lat)
    return np.stack([x, y], axis=-1)


def _in_own_zone(corners: Floats, code: str, crs: CRS) -> tuple[Floats, str]:
    """Corners of a sheet in the zone it lies in, and that zone's CRS if it is another than the map's."""
    bounds = sheet_bounds([code])
    number = zone_at(float(bounds[0, [0, 2]].mean()))
    if central_meridian(crs) in {None, 3.0 * number} or datum_of(crs) not in _ZONED:
        return corners, ""  # it is in its zone, or the map is in none that has a next one
    zone = gauss_kruger(datum_of(crs), number, prefixed=zone_of(crs) is not None)
    return _quadrilaterals(bounds, zone)[0], zone.to_string()


def _check_size(corners: Floats, scale: int, size_mm: tuple[float, float], code: str, paper: str) -> None:
    width, height = (np.ptp(corners, axis=0) * 1_000 / scale).tolist()
    if width > size_mm[0] or height > size_mm[1]:
        raise InputError(
            f"图幅 {code} 按 1:{scale} 为 {width:.0f} × {height:.0f} mm，{paper} 纸只容得下 "
            f"{size_mm[0]:.0f} × {size_mm[1]:.0f} mm；请换更大的纸张"
        )


def _rectangles(starts: Floats, window: Window) -> Floats:
    """Corners of windows, n x 4 x 2, from south-west, clockwise."""
    turn = np.array([[0, 0], [0, window.height], [window.width, window.height], [window.width, 0]])
    corners: Floats = starts[:, None, :] + turn
    return corners


def _greatest(names: Names, area: Floats) -> str:
    """The name that has most area; of equal ones the first."""
    total: dict[str, float] = {}
    for name, part in zip(names.tolist(), area.round(2).tolist(), strict=True):
        total[name] = total.get(name, 0.0) + part
    return min(total, key=lambda name: (not name, -round(total[name], 2), name))


def _listed(codes: Names) -> tuple[str, ...]:
    return tuple(sorted({code for code in codes.tolist() if code}))


def _file_name(number: str) -> str:
    return re.sub(r'[\\/:*?"<>|\s]', "_", number)
