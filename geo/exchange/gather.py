"""The parts of a layer brought together: every file of it, under our names, in one coordinate system.

A delivery is cut per township or by size, and its files need not agree on
encoding or coordinate system; each is read for itself and then joins the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import geopandas as gpd
import pandas as pd
from geopandas import GeoDataFrame
from pyproj import CRS

from geo import crs as systems
from geo import datum as datums
from geo import schema
from geo.errors import MismatchError
from geo.exchange import coded, delivery, fields, tables
from geo.exchange import vector as layers
from geo.exchange.sources import Source, sources
from geo.findings import findings

_LAYER_OF: Final = {
    "survey": "三调",
    "parcels": "承包地块",
    "villages": "村界",
    "groups": "组界",
    "baseline": "基期",
    "households": "住户",
    "grid_file": "网格",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class How:
    """What the caller knows of a layer before it is read."""

    layer: str | None = None  # its name, where it is not a usual one
    near: GeoDataFrame | None = None  # a layer of the county, to settle what the file leaves open
    crs: CRS | str | None = None  # its coordinate system, whatever the file says
    personal: bool = False  # columns of persons are wanted
    datum: tuple[datums.DatumShift, ...] = ()  # ways from old datums to CGCS2000


def gather(
    path: Path | str, role: str, needed: Sequence[str], how: How
) -> tuple[GeoDataFrame, list[pd.DataFrame], tuple[Path, ...]]:
    """All layers of a role behind a path, under our names, in one coordinate system.

    Parameters
    ----------
    path : Path
        A file, geodatabase, folder or zip.
    role : str
        A key of `geo.exchange.sources.ROLES`.
    needed : sequence of str
        Fields of the standard the layer cannot do without.
    how : How
        What the caller knows beforehand.

    Returns
    -------
    GeoDataFrame, list of findings, files
        Columns of the layer in `geo.schema`, geometry last; parcels have ``parcel_bsm`` besides.

    Raises
    ------
    InputError
        If the path cannot be read or has no such layer.
    MissingColumnError
        If a needed field is missing.
    MissingDatumError
        If the coordinate system is not known.
    """
    path = Path(path)
    near = how.near
    notes: list[pd.DataFrame] = []
    if path.is_dir() and path.suffix.lower() != ".gdb" and how.layer is None:
        chosen, more = delivery.choose(path, role)
        notes += more
    else:
        chosen = (path,)
    parts: list[GeoDataFrame] = []
    files: list[Path] = []
    for one in chosen:
        with sources(one, role, layer=how.layer) as found:
            for source in found:
                read, more = _read(_told_apart(source, one, chosen, path), role, needed, how)
                parts.append(read.table)
                notes += more
                files += read.files if source.origin == source.file or one.suffix.lower() != ".zip" else [one]
    target = near.crs if near is not None and near.crs is not None else _lead(parts[0].crs, how.datum)
    for at, part in enumerate(parts):
        parts[at], more = into(part, target, role, how.datum)
        notes += more
    table = schema.conform(stack(parts), role)
    return last(table), notes, tuple(dict.fromkeys(files))


def _told_apart(source: Source, file: Path, files: Sequence[Path], folder: Path) -> Source:
    """The layer with its file's folder before its name, where another folder has a file of that name."""
    same = sum(other.name == file.name for other in files)
    if same == 1 or not file.is_relative_to(folder):
        return source
    place = file.relative_to(folder).as_posix()
    return replace(source, label=place + source.label.removeprefix(file.name))


def last(table: GeoDataFrame) -> GeoDataFrame:
    """Geometry behind all other columns."""
    return table[[name for name in table.columns if name != "geometry"] + ["geometry"]]


def stack(parts: Sequence[GeoDataFrame]) -> GeoDataFrame:
    """Layers of one system, one under the other."""
    crs = next((part.crs for part in parts if part.crs is not None), None)
    table = pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)
    return gpd.GeoDataFrame(table, geometry="geometry", crs=crs)


def _read(
    source: Source, role: str, needed: Sequence[str], how: How
) -> tuple[layers.Layer, list[pd.DataFrame]]:
    """One layer with its fields under our names."""
    present: list[str] = []

    def choose(names: Sequence[str]) -> list[str]:
        present.extend(names)
        found = fields.match(names, role)
        name = source.layer or source.file.stem
        fields.require(found, needed, file=source.origin.name, layer=name, present=names)
        wanted = [field for field in found.fields.values() if how.personal or not fields.is_personal(field)]
        if role == "parcels" and (bsm := fields.find("BSM", names)) is not None:
            wanted.append(bsm)
        if how.personal:
            wanted += [field for field in found.personal if field not in wanted]
        return wanted

    read = layers.read(source, near=how.near, crs=how.crs, choose=choose)
    notes = [read.findings]
    found = fields.match(present, role)
    if found.by_alias:
        notes.append(tables.alias_finding(found.by_alias, source.label))
    lacking = [field for field in found.missing if field in _MISSED.get(role, ())]
    if lacking:
        message = f"{source.label} 没有字段 {'、'.join(lacking)}"
        notes.append(findings("field_missing", message, layer=source.label, source_file=source.label))
    table, more = _named(read.table, role, found, fields.find("BSM", present), source)
    notes += more
    if how.personal:
        for name in found.personal:
            table[fields.personal_column(name)] = fields.as_text(read.table[name])
    return layers.Layer(table=table, findings=read.findings, files=read.files), notes


def _named(
    raw: GeoDataFrame, role: str, found: fields.Match, bsm: str | None, source: Source
) -> tuple[GeoDataFrame, list[pd.DataFrame]]:
    """Fields as columns of the layer, of its dtypes; codes as text, whatever they came in."""
    notes: list[pd.DataFrame] = []
    tidied: dict[str, int] = {}

    def code(name: str) -> pd.Series:
        layer = source.layer or source.file.stem
        coded.require_exact(raw[name], label=source.label, layer=layer, field=name)
        text, tidied[name] = coded.tidy(raw[name])
        return text

    table = pd.DataFrame(
        {"geometry": raw.geometry, "source_file": raw["source_file"], "source_row": raw["source_row"]}
    )
    cast: dict[str, Callable[[pd.Series], pd.Series]] = {
        "str": fields.as_text,
        "float": fields.as_number,
        "bool": fields.as_flag,
        "Int64": _as_integer,
    }
    for column in schema.columns(role):
        if (name := found.fields.get(column.name)) is not None and name in raw:
            as_code = column.dtype == "str" and coded.is_code(column.name)
            table[column.name] = code(name) if as_code else cast[column.dtype](raw[name])
            if role == "survey" and column.name == "land_class":
                table[column.name], more = coded.restore_zero(
                    table[column.name], raw[name], label=source.label, field=name
                )
                notes += more
    if role == "parcels":
        none = pd.Series(None, index=raw.index, dtype="str")
        table["parcel_bsm"] = code(bsm) if bsm is not None else none
    notes += coded.tidied(tidied, source.label)
    return gpd.GeoDataFrame(table, geometry="geometry", crs=raw.crs), notes


_MISSED: Final = {  # fields the work can do without, but does worse
    "survey": ("TBBH", "QSXZ", "QSDWDM", "ZLDWDM", "TBMJ", "KCXS"),
    "parcels": ("SCMJ",),
}


def _as_integer(values: pd.Series) -> pd.Series:
    return fields.as_number(values).round().astype("Int64")


def _lead(crs: CRS | None, shifts: Sequence[datums.DatumShift]) -> CRS | None:
    """The system of a layer that others follow: on CGCS2000 where a way there is known."""
    if crs is None or systems.datum_of(crs) not in {shift.datum for shift in shifts}:
        return crs
    return systems.counterpart(systems.normal(crs), systems.CGCS2000)


def into(
    part: GeoDataFrame, target: CRS | None, role: str, shifts: Sequence[datums.DatumShift]
) -> tuple[GeoDataFrame, list[pd.DataFrame]]:
    """A layer in the system of the others; a change of datum is said aloud.

    Raises
    ------
    MismatchError
        If a way between datums does not hold where the layer lies.
    """
    if target is None or part.crs is None or part.crs == target:
        return part, []
    label = str(part["source_file"].iloc[0])
    note = partial(findings, layer=label, source_file=label)
    if systems.same_datum(part.crs, target):
        message = f"{label} 由 {part.crs.name} 转换到 {target.name}"
        return systems.convert(part, target), [note("crs_converted", message)]
    datum = systems.datum_of(part.crs)
    for shift in shifts:
        if shift.datum == datum and systems.same_datum(shift.target, target):
            try:
                out = datums.convert(part, shift, target)
            except MismatchError as error:
                raise MismatchError(f"{label}：{error}") from error
            said = datums.described(shift, over=part)
            message = f"{label} 由 {part.crs.name} 转换到 {target.name}：{said}"
            return out, [note("datum_converted", message, row_code=datum)]
    # Only parcels are laid onto the survey afterwards.
    else_ = "否则剩余偏移由对齐步骤逐村估计" if role == "parcels" else "没有的，这个图层不会自动改正"
    message = (
        f"{label} 的基准是{datum}，{_LAYER_OF[role]}图层按 {target.name} 处理："
        "经纬度原样沿用，未作基准转换，位置可能相差数十米以上；"
        f"有转换参数或控制点时请用 --datum 给出，{else_}"
    )
    return systems.convert(part, target), [note("datum_differs", message)]


def belongs(table: GeoDataFrame, near: GeoDataFrame) -> list[pd.DataFrame]:
    """Whether the parcels lie where the survey lies; a file of several that does not is a finding.

    Raises
    ------
    MismatchError
        If none of them does.
    """
    place = systems.robust_bounds(near.geometry)
    if place is None:
        return []
    notes, elsewhere = [], []
    boxes = {
        label: systems.robust_bounds(table.geometry[table["source_file"] == label])
        for label in sorted(table["source_file"].unique())
    }
    for label, box in boxes.items():
        if box is not None and not systems.overlap(box, place):
            elsewhere.append(label)
            message = f"{label} 的范围 {_box(box)} 与三调范围 {_box(place)} 不相交"
            notes.append(findings("file_elsewhere", message, layer=label, source_file=label))
    survey_county = _county(near.get("location_unit_code"))
    county = _county(table.get("parcel_code"))
    if elsewhere and len(elsewhere) == sum(box is not None for box in boxes.values()):
        whole = systems.robust_bounds(table.geometry)
        raise MismatchError(
            f"承包地块（{elsewhere[0]} 等 {len(elsewhere)} 个文件，县代码 {county or '不明'}，范围 {_box(whole)}）"
            f"与三调（县代码 {survey_county or '不明'}，范围 {_box(place)}）不相交；请核对是否同一个县、坐标系是否正确"
        )
    if county and survey_county and county != survey_county:
        message = f"承包地块的县代码是 {county}，三调是 {survey_county}"
        notes.append(findings("county_differs", message, layer="parcels"))
    return notes


def _box(bounds: systems.Bounds | None) -> str:
    return "（无图形）" if bounds is None else "(" + ", ".join(f"{value:.0f}" for value in bounds) + ")"


def _county(codes: pd.Series | None) -> str | None:
    """The county most rows are in."""
    if codes is None:
        return None
    counts = codes.dropna().astype("str").str[:6].value_counts()
    return str(min(counts[counts == counts.max()].index)) if len(counts) else None
