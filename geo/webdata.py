"""What a page needs of each table: shapes and columns, small enough to carry inside it.

A shape is whole 1e-7 degrees (about 1 cm), each point the step from the one
before. A column of repeating texts is its values once and an index a row. The
page never hears of a personal column: only the columns named here leave.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyproj
import shapely

from geo import schema
from geo.area import M2_PER_MU
from geo.errors import GeometryTypeError, InputError, MismatchError, MissingColumnError, MissingDatumError
from geo.shifts import corrections, village_notes
from geo.standards import code_list
from geo.webgrids import PLACED, with_grids

MAX_HOMES: Final = 100_000  # some 3 MB of a page

Shapes = list[Any]  # per row: polygons of rings of flat steps; or a point; or None
Objects = npt.NDArray[np.object_]

_UNITS_PER_DEGREE: Final = 1e7
_LONGITUDES: Final = 180
_POLYGONAL: Final = (3, 6)  # shapely's type numbers of Polygon and MultiPolygon
_POINT: Final = 0
_SOURCES: Final = {
    "BASELINE": "基期调查",
    "PARCEL_EVIDENCE": "地块佐证",
    "CONFIRMATION_EXTENT": "确权范围",
    "NONE": "尚无依据",
    "GROUP_BOUNDARY": "组界",
    "OWNER_UNIT": "权属单位代码",
    "NEIGHBOURS": "相邻地块",
    "TOUCHING": "接边地块",
    "NEAREST": "最近地块",
    "VILLAGE": "未定到组",
}
_SEVERITIES: Final = {"error": "错误", "warning": "警告", "info": "提示"}
_LISTS: Final = {
    "piece_class": "piece_class",
    "piece_shape": "piece_shape",
    "patch_kind": "patch_kind",
    "state": "state",
    "parcel_class": "DKLB",
    "detail_code": "TBXHDM",
    "land_class": "DLBM",
    "grid_kind": "grid_kind",
    "balance": "grid_balance",
    "change": "grid_change",
    "located_by": "located_by",
}
_PIECE_FIELDS: Final = (
    "class_reason",
    "class_source",
    "village_name",
    "group_code",
    "group_source",
    "group_confidence",
    "patch_code",
    "sheet_code",
    "state",
    "land_class",
    "detail_code",
    "ridge_ratio",
    "mean_width_m",
    "evidence_parcels",
    "is_enclave",
)
_PATCH_FIELDS: Final = (
    "kind_reason",
    "village_name",
    "land_class",
    "detail_code",
    "ridge_ratio",
    "covered_area_m2",
    "piece_count",
    "is_enclave",
)
_GRID_FIELDS: Final = (
    "households", "homes", "profile", "reason", "change", "predecessors", "group_codes", "village_name",
    "parent_code", "radius_m", "mean_distance_m", "area_m2", "natural_share", "neighbours",
)  # fmt: skip
_HOME_FIELDS: Final = ("households", "building", "stair", "group_code", "located_by")
SHIFT: Final = "shift_note"  # column of this page only: what the shift of a parcel or a village was
_FINDING_FIELDS: Final = ("message", "advice", "row_code", "source_file", "source_row", "finding_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerKind:
    """One layer of the page: which rows of which table, how it looks, what its card says."""

    key: str
    title: str
    table: str
    rows: Mapping[str, str] = field(default_factory=dict)  # column and the value it must have
    show: bool = False
    style: Mapping[str, Any] = field(default_factory=dict)  # Leaflet's path options
    code: str  # column that names a row
    subtitle: tuple[str, ...] = ()
    figures: tuple[tuple[str, str, str], ...] = ()  # title, column of mu, column of m²
    fields: tuple[str, ...] = ()
    links: tuple[str, ...] = ()  # columns whose values findings may name
    search: str = ""  # "code", or a second column to be found by
    area: str = ""  # column the legend adds up
    households: str = ""  # the same, of households
    label: str = ""  # "piece" or "grid": what is written on the shape itself


def _pieces(key: str, title: str, rows: Mapping[str, str], *, show: bool, **style: Any) -> LayerKind:  # noqa: ANN401
    return LayerKind(
        key=key,
        title=title,
        table="pieces",
        rows=rows,
        show=show,
        style=style,
        code="piece_code",
        subtitle=("piece_class", "piece_shape", "state"),
        figures=(("面积（毛）", "area_mu", "area_m2"), ("净面积（扣田坎）", "net_area_mu", "net_area_m2")),
        fields=_PIECE_FIELDS,
        links=("piece_code", "piece_key", "patch_code"),
        search="code",
        area="area_m2",
        label="piece" if show else "",
    )


def _patches(key: str, title: str, kind: str, **style: Any) -> LayerKind:  # noqa: ANN401 - Leaflet's options
    return LayerKind(
        key=key,
        title=title,
        table="patches",
        rows={"patch_kind": kind},
        show=True,
        style=style,
        code="patch_code",
        subtitle=("patch_kind", "land_class"),
        figures=(
            ("图斑面积", "patch_area_mu", "patch_area_m2"),
            ("剩余面积", "residual_area_mu", "residual_area_m2"),
        ),
        fields=_PATCH_FIELDS,
        links=("patch_code",),
        search="code",
        area="patch_area_m2",
    )


def _findings(severity: str, title: str, color: str, radius: int) -> LayerKind:
    return LayerKind(
        key=f"findings_{severity}",
        title=title,
        table="findings",
        rows={"severity": severity},
        style={"radius": radius, "color": "#fff", "weight": 1, "fillColor": color, "fillOpacity": 0.95},
        code="title",
        subtitle=("severity_title", "layer_title"),
        fields=_FINDING_FIELDS,
    )


def _grids(key: str, title: str, rows: Mapping[str, str], *, label: str = "grid", **style: Any) -> LayerKind:  # noqa: ANN401
    return LayerKind(
        key=key,
        title=title,
        table="grids",
        rows=rows,
        style=style,
        code="grid_code",
        subtitle=("grid_code", "grid_kind", "balance"),
        fields=_GRID_FIELDS,
        links=("grid_code",),
        search="grid_name",
        households="households",
        label=label,
    )


def _homes(key: str, title: str, placed: str, **style: Any) -> LayerKind:  # noqa: ANN401 - Leaflet's options
    return LayerKind(
        key=key,
        title=title,
        table="households",
        rows={PLACED: placed},
        style=style,
        code="grid_code",
        fields=_HOME_FIELDS,
        households="households",
    )


# From the lowest drawn to the highest. Colours of the classes are Okabe and Ito's, told apart by every eye.
LAYERS: Final = (
    _patches("patches", "集体耕地图斑", "COLLECTIVE", color="#b9c6a3", weight=0.7, fillColor="#e9efd9", fillOpacity=1),
    _patches(
        "patches_state", "国有耕地", "STATE",
        color="#8494a5", weight=0.9, fillColor="#eef1f5", fillOpacity=1, hatch="lines", hatchColor="#9aa8b8",
    ),
    _patches(
        "patches_share", "确股村耕地", "SHARE_BASED",
        color="#a08a63", weight=0.9, fillColor="#f6f0e2", fillOpacity=1, hatch="cross", hatchColor="#d2bf97",
    ),
    LayerKind(
        key="parcels", title="承包地块", table="parcels", code="parcel_code",
        style={"color": "#8d9499", "weight": 0.6, "fillColor": "#d6d9da", "fillOpacity": 0.55},
        subtitle=("parcel_class",), figures=(("实测面积", "surveyed_area_mu", "surveyed_area_m2"),),
        fields=(SHIFT,), links=("parcel_code",),
    ),
    LayerKind(
        key="parcels_original", title="承包地块（改正前）", table="parcels_original", code="parcel_code",
        style={"color": "#785ea0", "weight": 0.9, "dashArray": "4 3", "fill": False, "interactive": False},
    ),
    _grids("grids_in_band", "合格网格", {"grid_kind": "ORDINARY", "balance": "IN_BAND"},
           color="#1b6b3a", weight=1.6, fillColor="#3f9e5f", fillOpacity=0.42),
    _grids("grids_under", "不足网格", {"grid_kind": "ORDINARY", "balance": "UNDER"},
           color="#0b4f8a", weight=1.6, fillColor="#3b8fd4", fillOpacity=0.5),
    _grids("grids_over", "超出网格", {"grid_kind": "ORDINARY", "balance": "OVER"},
           color="#8f1d1d", weight=1.6, fillColor="#d9483b", fillOpacity=0.5),
    _grids("grids_exclusive", "专属网格", {"grid_kind": "EXCLUSIVE"},
           color="#4d4d4d", weight=1.6, fillColor="#8c8c8c", fillOpacity=0.55),
    _grids("micro_grids", "微网格", {"grid_kind": "MICRO"}, label="",
           color="#3a3a3a", weight=0.9, dashArray="4 3", fillColor="#ffffff", fillOpacity=0.05),
    _pieces("slivers", "碎屑", {"piece_shape": "SLIVER"}, show=False,
            color="#8c2d6a", weight=0.8, fillColor="#8c2d6a", fillOpacity=0.5),
    _pieces("strips", "细条", {"piece_shape": "STRIP"}, show=False,
            color="#4b4f8a", weight=0.8, fillColor="#7c80bd", fillOpacity=0.65),
    _pieces("undetermined", "待定", {"piece_shape": "BLOCK", "piece_class": "UNDETERMINED"}, show=True,
            color="#8a7400", weight=1.3, fillColor="#f0e442", fillOpacity=0.85),
    _pieces("newly_added", "新增地", {"piece_shape": "BLOCK", "piece_class": "NEWLY_ADDED"}, show=True,
            color="#004b76", weight=1.3, fillColor="#0072b2", fillOpacity=0.75),
    _pieces("unconfirmed", "未确权地", {"piece_shape": "BLOCK", "piece_class": "UNCONFIRMED"}, show=True,
            color="#8f3f00", weight=1.3, fillColor="#d55e00", fillOpacity=0.75),
    LayerKind(
        key="villages", title="村界", table="villages", code="village_code", show=True, search="village_name",
        subtitle=("village_code",), fields=(SHIFT,),
        style={"color": "#46535c", "weight": 1.8, "dashArray": "8 3 2 3", "fill": False, "interactive": False},
    ),
    _homes("homes", "住户", "1", radius=3.2, color="#fff", weight=0.8, fillColor="#22303a",
           fillOpacity=0.95, minZoom=15),
    _homes("homes_lost", "未入网格住户", "0", radius=5, color="#fff", weight=1, fillColor="#b0087a", fillOpacity=1),
    _findings("info", "问题（提示）", "#5b7c99", 4),
    _findings("warning", "问题（警告）", "#e69f00", 5),
    _findings("error", "问题（错误）", "#c1121f", 6),
)  # fmt: skip

# What is left out first when a county has more polygons than a page can bear; blocks never are.
_LEAVE_OUT: Final = ("parcels_original", "parcels", "slivers", "strips", "patches", "micro_grids")
_UNLESS_EMPTY: Final = ("grids_exclusive", "micro_grids", "homes_lost")
_MAIN_JOB: Final = ("pieces", "patches", "parcels")  # tables that a page of grids alone goes without
_GRIDS_SHOWN: Final = ("grids_in_band", "grids_under", "grids_over", "grids_exclusive", "homes", "homes_lost")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PageLayer:
    """A layer as the page gets it; a layer left out keeps its count and area."""

    kind: LayerKind
    count: int
    without_shape: int
    area_m2: float | None
    households: int | None
    data: dict[str, Any] | None  # None: left out
    bounds: tuple[float, float, float, float] | None  # west, south, east, north


def page_layers(
    tables: Mapping[str, pd.DataFrame], *, max_polygons: int, max_findings: int, max_homes: int = MAX_HOMES
) -> list[PageLayer]:
    """The layers of the page, lowest first, those that the tables have.

    Parameters
    ----------
    tables : mapping of layer name to DataFrame or GeoDataFrame
        Layers of a workspace (``columns.csv``); any may be missing but
        ``pieces`` or ``grids``. In any CRS, all on one datum. Where there are
        grids and no pieces, layers of the main job are left out and grids shown.
    max_polygons, max_findings, max_homes : int
        Above this many, parcels, slivers, strips, patches and micro-grids, in
        this order, findings of the lesser severities, or homes are left out.

    Raises
    ------
    InputError
        If there is no table ``pieces`` and no grid.
    MissingColumnError
        If a table lacks a column the page cannot do without.
    MissingDatumError, MismatchError
        If a layer has no CRS; if two layers stand on different datums.
    GeometryTypeError
        If a polygon layer holds points or lines.
    """
    alone = of_grids_alone(tables)
    if "pieces" not in tables and not alone:
        raise InputError("缺少图层 pieces（剩余图块）：请先运行 taotu reconcile")
    _check_datum(tables)
    told = with_grids(_with_shifts(tables))
    if alone:
        told = {name: table for name, table in told.items() if name not in _MAIN_JOB}
    kinds = [replace(kind, show=True) if alone and kind.key in _GRIDS_SHOWN else kind for kind in LAYERS]
    chosen = [(kind, _rows(kind, told[kind.table])) for kind in kinds if kind.table in told]
    chosen = [(kind, rows) for kind, rows in chosen if len(rows) or kind.key not in _UNLESS_EMPTY]
    left_out = _left_out(chosen, max_polygons, max_findings, max_homes)
    group_names = _group_names(tables.get("balance"))
    return [_page_layer(kind, rows, group_names, left_out=kind.key in left_out) for kind, rows in chosen]


def of_grids_alone(tables: Mapping[str, pd.DataFrame]) -> bool:
    """Whether a page of these tables is one of grids: there are some, and there is no piece."""
    return len(tables.get("grids", ())) > 0 and not len(tables.get("pieces", ()))


def _with_shifts(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables, with what was done to a parcel or a village in words; nothing that was not moved has any."""
    told = dict(tables)
    if not len(told.get("parcels_original", ())):
        told.pop("parcels_original", None)
    shifts = schema.conform(pd.DataFrame(told.get("shifts", {})), "shifts")
    if shifts.empty:
        return told
    if "parcels" in told and "shift_key" in told["parcels"]:
        parcels = told["parcels"]
        told["parcels"] = parcels.assign(**{SHIFT: parcels["shift_key"].map(corrections(shifts))})
    if "villages" in told:
        villages = told["villages"]
        told["villages"] = villages.assign(**{SHIFT: villages["village_code"].map(village_notes(shifts))})
    return told


def _rows(kind: LayerKind, table: pd.DataFrame) -> pd.DataFrame:
    missing = {kind.code, *kind.rows} - set(table.columns)
    if missing:
        raise MissingColumnError(f"图层 {kind.table} 缺少字段 {'、'.join(sorted(missing))}")
    rows = table
    for column, wanted in kind.rows.items():
        rows = rows[rows[column] == wanted]
    keys = [
        kind.code,
        *(name for name in ("household_key", "finding_id", "source_file", "source_row") if name in rows),
    ]
    return rows.sort_values(keys, kind="stable").reset_index(drop=True)


def _left_out(
    chosen: Sequence[tuple[LayerKind, pd.DataFrame]], max_polygons: int, max_findings: int, max_homes: int
) -> set[str]:
    counts = {kind.key: len(rows) for kind, rows in chosen if "radius" not in kind.style}
    out = set()
    for key in _LEAVE_OUT:
        if sum(counts.values()) > max_polygons and counts.pop(key, 0):
            out.add(key)
    flaws = {kind.key: len(rows) for kind, rows in chosen if kind.table == "findings"}
    for key in ("findings_info", "findings_warning"):
        if sum(flaws.values()) > max_findings and flaws.pop(key, 0):
            out.add(key)
    out |= {kind.key for kind, rows in chosen if kind.key == "homes" and len(rows) > max_homes}
    return out


def _page_layer(
    kind: LayerKind, rows: pd.DataFrame, group_names: Mapping[str, str], *, left_out: bool
) -> PageLayer:
    area = float(rows[kind.area].sum()) if kind.area in rows else None
    homes = int(rows[kind.households].sum()) if kind.households in rows else None
    if left_out:
        return PageLayer(
            kind=kind,
            count=len(rows),
            without_shape=0,
            area_m2=area,
            households=homes,
            data=None,
            bounds=None,
        )
    shapes = _lonlat(kind, rows)
    drawn = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    origin, steps = _encode(shapes, drawn)
    points = (
        []
        if "minZoom" in kind.style
        else steps
        if "radius" in kind.style
        else _label_points(shapes, drawn, origin)
    )
    titles = _titles(kind)
    fields = [name for name in kind.fields if name != SHIFT or (SHIFT in rows and rows[SHIFT].notna().any())]
    names = dict.fromkeys((kind.code, *kind.subtitle, *fields, *kind.links))
    names |= dict.fromkeys(name for _, mu, m2 in kind.figures for name in (mu, m2))
    if kind.search not in ("", "code"):
        names[kind.search] = None
    if kind.style.get("interactive") is False and not kind.search:
        names, points = {}, []  # none points at it and none looks for it: shapes are all there is to carry
    data = {
        "table": kind.table,
        "title": kind.title,
        "key": kind.code,
        "count": len(rows),
        "style": {"smoothFactor": 0.6, **kind.style},
        "subtitle": kind.subtitle,
        "figures": kind.figures,
        "fields": [(titles.get(name, name), name, _unit(name)) for name in fields],
        "links": kind.links,
        "search": kind.search,
        "labelled": kind.label,
        "origin": origin,
        "shapes": steps,
        "points": points,
        "columns": {name: _column(_values(rows, name, group_names)) for name in names},
    }
    bounds = shapely.total_bounds(shapes[drawn]).tolist() if drawn.any() else None
    return PageLayer(
        kind=kind,
        count=len(rows),
        without_shape=int((~drawn).sum()),
        area_m2=area,
        households=homes,
        data=data,
        bounds=tuple(bounds) if bounds else None,
    )


def _titles(kind: LayerKind) -> dict[str, str]:
    ours = {"group_code": "组", "village_name": "村", "group_source": "组归属", SHIFT: "套合偏移"}
    return {**schema.titles(kind.table), **ours}


def _unit(name: str) -> str:
    if name.endswith(("_m2", "_mu")):
        return name[-2:]
    if name in {"group_confidence", "natural_share"}:
        return "share"
    if name in {"radius_m", "mean_distance_m"}:
        return "m"
    if name == "households":
        return "households"
    return "bool" if name.startswith("is_") else ""


def _values(rows: pd.DataFrame, name: str, group_names: Mapping[str, str]) -> pd.Series:
    """One column as people read it: codes by their titles, mu from m² where the table has none."""
    made_from = {"severity_title": "severity", "layer_title": "layer"}.get(name, name)
    if name.endswith("_mu") and name not in rows and f"{name[:-3]}_m2" in rows:
        return (rows[f"{name[:-3]}_m2"] / M2_PER_MU).rename(name)
    if made_from not in rows:
        return pd.Series(None, index=rows.index, dtype="object")
    titles = _code_titles(name, group_names)
    if not titles:
        return rows[name]
    with_code = name in ("land_class", "group_code")

    def said(code: str) -> str:
        title = titles.get(code, "")
        return f"{title}（{code}）" if title and with_code else title or code

    return rows[made_from].map(said, na_action="ignore")


def _code_titles(name: str, group_names: Mapping[str, str]) -> Mapping[str, str]:
    ours: dict[str, Mapping[str, str]] = {
        "severity_title": _SEVERITIES,
        "layer_title": schema.LAYER_TITLES,
        "class_source": _SOURCES,
        "group_source": _SOURCES,
        "group_code": group_names,
    }
    if name in ours:
        return ours[name]
    return code_list(_LISTS[name]) if name in _LISTS else {}


def _group_names(balance: pd.DataFrame | None) -> dict[str, str]:
    if balance is None or not {"level", "code", "name"} <= set(balance.columns):
        return {}
    groups = balance[(balance["level"] == "group") & balance["name"].notna() & (balance["name"] != "")]
    return dict(zip(groups["code"], groups["name"], strict=True))


def _column(values: pd.Series) -> list[Any] | dict[str, list[Any]]:
    if values.dtype.kind == "f":
        decimals = 2 if str(values.name).endswith(("_m2", "_mu")) else 4
        return [None if np.isnan(number) else round(number, decimals) for number in values.tolist()]
    plain = [None if pd.isna(one) else one for one in values.tolist()]
    places = {one: place for place, one in enumerate(dict.fromkeys(plain))}
    if len(places) * 2 > len(plain):
        return plain
    return {"values": list(places), "index": [places[one] for one in plain]}


def _check_datum(tables: Mapping[str, pd.DataFrame]) -> None:
    datums = {}
    for name in dict.fromkeys(kind.table for kind in LAYERS):
        layer = tables.get(name)
        if not isinstance(layer, gpd.GeoDataFrame) or layer.empty or layer.geometry.isna().all():
            continue
        datums[name] = _geodetic(layer.crs, name).datum
    distinct = {datum.name for datum in datums.values() if datum is not None}
    if len(distinct) > 1:
        said = "；".join(f"{name}：{datum.name}" for name, datum in datums.items() if datum is not None)
        raise MismatchError(f"图层的大地基准不同，不能画在一张图上（{said}）：请先统一坐标系")


def _geodetic(crs: pyproj.CRS | None, layer: str) -> pyproj.CRS:
    if crs is None or crs.geodetic_crs is None:
        raise MissingDatumError(f"图层 {layer} 没有坐标系：请在读入时指定")
    return crs.geodetic_crs


def _lonlat(kind: LayerKind, rows: pd.DataFrame) -> Objects:
    """Shapes of the rows in longitude and latitude of their own datum, without a third dimension."""
    if not isinstance(rows, gpd.GeoDataFrame) or rows.empty:
        return np.full(len(rows), None, dtype=object)
    if rows.geometry.isna().all():
        return rows.geometry.to_numpy()
    # No datum shift: CGCS2000 and the web's WGS 84 differ by less than a metre, and nothing is measured here.
    lonlat = rows.geometry.to_crs(_geodetic(rows.crs, kind.table))
    shapes: Objects = shapely.force_2d(lonlat.to_numpy())
    wanted = [_POINT] if "radius" in kind.style else _POLYGONAL
    stray = ~np.isin(shapely.get_type_id(shapes), [*wanted, -1]) & ~shapely.is_empty(shapes)
    if stray.any():
        code = rows[kind.code].iloc[int(np.argmax(stray))]
        raise GeometryTypeError(f"图层 {kind.table} 的 {code} 不是{'点' if 'radius' in kind.style else '面'}")
    return shapes


def _encode(shapes: Objects, drawn: npt.NDArray[np.bool_]) -> tuple[list[int], Shapes]:
    """Origin and, per row, its rings as steps of whole units; the closing point is left to the page."""
    out: Shapes = [None] * len(shapes)
    places = np.flatnonzero(drawn).tolist()
    if not places:
        return [0, 0], out
    some = shapes[drawn]
    units = np.rint(shapely.get_coordinates(some) * _UNITS_PER_DEGREE).astype(np.int64)
    origin = units.min(axis=0)
    units -= origin
    if (shapely.get_type_id(some) == _POINT).all():
        for place, point in zip(places, units.tolist(), strict=True):
            out[place] = point
        return origin.tolist(), out
    multi = np.array(
        [part if part.geom_type == "MultiPolygon" else shapely.multipolygons([part]) for part in some]
    )
    _, _, (rings, polygons, features) = shapely.to_ragged_array(multi)
    steps = np.diff(units, axis=0, prepend=0)
    steps[rings[:-1]] = units[rings[:-1]]
    flat = steps.ravel().tolist()
    for place, first, last in zip(places, features[:-1].tolist(), features[1:].tolist(), strict=True):
        out[place] = [
            [
                flat[2 * rings[ring] : 2 * rings[ring + 1] - 2]
                for ring in range(polygons[part], polygons[part + 1])
            ]
            for part in range(first, last)
        ]
    return origin.tolist(), out


def _label_points(shapes: Objects, drawn: npt.NDArray[np.bool_], origin: Sequence[int]) -> Shapes:
    out: Shapes = [None] * len(shapes)
    inside = shapely.get_coordinates(shapely.point_on_surface(shapes[drawn]))
    units = np.rint(inside * _UNITS_PER_DEGREE).astype(np.int64) - np.asarray(origin)
    for place, point in zip(np.flatnonzero(drawn).tolist(), units.tolist(), strict=True):
        out[place] = point
    return out
