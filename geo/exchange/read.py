"""Layers of the survey and of the contract parcels, read into the names the rest works with.

Fields are matched by name, geometry is taken as drawn, codes are made unique
but kept in order, and all that had to be inferred is a finding. Whatever a
row lacks, the row stays.

Source: TD/T 1057-2020 (DLTB, CJDCQ, XZQ); NY/T 2539-2016 (DK, CBDKXX, FBF, CBF).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from geopandas import GeoDataFrame
from pyproj import CRS

from geo import crs as systems
from geo import schema
from geo.errors import InputError, MismatchError
from geo.exchange import delivery, fields, tables
from geo.exchange import vector as layers
from geo.exchange.sources import ROLE_TITLES, Source, sources
from geo.findings import findings

M2_PER_MU: Final = 1 / 0.0015  # SCMJM = SCMJ x 0.0015, as the confirmation's software had it
_LAYER_OF: Final = {"survey": "三调", "parcels": "承包地块", "villages": "村界", "groups": "组界", "baseline": "基期"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """A layer, what was inferred in reading it, and the files it came from."""

    table: Any  # GeoDataFrame: columns of the layer in `geo.schema`, then geometry
    findings: pd.DataFrame  # rows of `geo.findings.findings`
    files: tuple[Path, ...]  # every file that was read


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParcelsReading(Reading):
    """Parcels, each with its registration, and the tables they were joined from."""

    rights: pd.DataFrame  # layer "rights": one row a registration
    issuers: pd.DataFrame  # layer "issuers"
    contractors: pd.DataFrame  # layer "contractors"


def vector(path: Path | str, layer: str | None = None, *, crs: CRS | str | None = None) -> Reading:
    """Any vector layer with the fields it has, less those of persons.

    Parameters
    ----------
    path : Path
        .shp, .gpkg, .gdb, .parquet, .geojson, a folder or a .zip of these.
    layer : str, optional
        Name of the layer, where there are several.
    crs : CRS, optional
        The coordinate system, where the file does not say.

    Returns
    -------
    Reading
        Rows in the file's order in the file's system, with ``source_file`` and ``source_row``.

    Raises
    ------
    InputError
        If the path cannot be read, or holds several layers and ``layer`` is not given.
    MissingDatumError
        If the coordinate system is not known.
    """
    with sources(path, None, layer=layer) as found:
        if len(found) > 1:
            there = "、".join(source.label for source in found)
            raise InputError(f"{Path(path).name} 里有多个图层：{there}；请用 layer 指定一个")
        read = layers.read(found[0], crs=crs)
    return Reading(table=read.table, findings=read.findings, files=read.files)


def survey(
    path: Path | str,
    *,
    layer: str | None = None,
    county: str | None = None,
    near: GeoDataFrame | None = None,
    crs: CRS | str | None = None,
    personal: bool = False,
) -> Reading:
    """Patches of the land survey (三调 DLTB).

    Parameters
    ----------
    path : Path
        File, geodatabase, zip, or delivery folder with DLTB in it.
    layer : str, optional
        Name of the layer, where it is not a usual one.
    county : str, optional
        First digits of the county, township or village wanted; rows located elsewhere are left out.
    near : GeoDataFrame, optional
        A layer of the county, to settle a coordinate system the file leaves open.
    crs : CRS, optional
        The coordinate system, where the caller knows better than the file.
    personal : bool
        Whether to read columns of persons.

    Returns
    -------
    Reading
        Layer ``survey``; ``patch_code`` is village 12 digits + '-' + TBBH (else BSM), unique:
        the second of two alike ends in '~2'.

    Raises
    ------
    InputError
        If the path cannot be read or has no such layer.
    MissingColumnError
        If DLBM is missing.
    MissingDatumError
        If the coordinate system is not known.
    """
    table, notes, files = _gather(
        path, "survey", ("DLBM",), layer=layer, near=near, crs=crs, personal=personal
    )
    if county:
        inside = table["location_unit_code"].str.startswith(county).fillna(value=False).astype(bool)
        if not inside.any():
            there = "、".join(sorted(table["location_unit_code"].dropna().str[:6].unique())[:5]) or "无"
            raise MismatchError(f"{Path(path).name} 里没有代码 {county} 的图斑；坐落单位县代码有：{there}；请核对县代码")
        table = table[inside].reset_index(drop=True)
    table["ridge_ratio"] = table["ridge_ratio"].fillna(0.0)
    village = table["location_unit_code"].str[:12].fillna("")
    number = table["patch_number"].fillna(table["patch_bsm"])
    code = village + "-" + number.fillna("")
    table["patch_code"], more = _unique(code, table, number.isna(), table["patch_bsm"], "survey", "图斑编号、标识码")
    return Reading(table=table, findings=_joined([*notes, *more]), files=files)


def parcels(
    path: Path | str | Sequence[Path | str],
    *,
    rights: Path | str | None = None,
    layer: str | None = None,
    near: GeoDataFrame | None = None,
    crs: CRS | str | None = None,
    personal: bool = False,
) -> ParcelsReading:
    """Contract parcels (确权 DK), each with its registration (CBDKXX).

    Parameters
    ----------
    path : Path or several
        DK file or files, a folder of them cut per township, a zip, or a delivery's root folder.
    rights : Path, optional
        Access database, workbook, CSV or folder with CBDKXX (and FBF, CBF); without it the one
        of the delivery folder.
    layer : str, optional
        Name of the layer, where it is not a usual one.
    near : GeoDataFrame, optional
        The survey: parcels come back in its coordinate system, and must lie where it lies.
    crs : CRS, optional
        The coordinate system of the files, where the caller knows better than they.
    personal : bool
        Whether to read columns of persons.

    Returns
    -------
    ParcelsReading
        Layer ``parcels``; ``parcel_code`` is DKBM, unique: the second of two alike ends in '~2'.
        ``rights`` keeps DKBM as it is.

    Raises
    ------
    InputError
        If a path cannot be read or has no such layer.
    MissingColumnError
        If DKBM or DKLB is missing, or DKBM in CBDKXX.
    MissingDatumError
        If the coordinate system is not known.
    MismatchError
        If the parcels lie nowhere near the survey.
    """
    paths = [Path(path)] if isinstance(path, Path | str) else [Path(p) for p in path]
    parts = [
        _gather(p, "parcels", ("DKBM", "DKLB"), layer=layer, near=near, crs=crs, personal=personal) for p in paths
    ]
    table = _stack([part[0] for part in parts])
    notes = [note for part in parts for note in part[1]]
    files = [file for part in parts for file in part[2]]
    if rights is None and len(paths) == 1 and paths[0].is_dir() and paths[0].suffix.lower() != ".gdb":
        rights = delivery.find(paths[0]).rights
    if near is not None:
        notes += _belongs(table, near)
    register = _register(rights, personal=personal)
    joined, more = _join(table, register.rights)
    table = schema.conform(joined, "parcels")
    notes += [register.findings, *more]
    table["parcel_code"], more = _unique(
        table["parcel_code"].fillna(""), table, table["parcel_code"].isna(), table["parcel_bsm"], "parcels", "地块编码"
    )
    return ParcelsReading(
        table=_last(table.drop(columns="parcel_bsm")),
        findings=_joined([*notes, *more]),
        files=(*files, *register.files),
        rights=register.rights,
        issuers=register.issuers,
        contractors=register.contractors,
    )


def villages(
    path: Path | str,
    *,
    layer: str | None = None,
    near: GeoDataFrame | None = None,
    crs: CRS | str | None = None,
) -> Reading:
    """Village areas (CJDCQ, else CJQY of the confirmation, else XZQ where it goes down to villages).

    Returns
    -------
    Reading
        Layer ``villages``, a row a polygon of the file: a village of two parts may have two.

    Raises
    ------
    InputError
        If the path cannot be read, or the layer stops at townships.
    MissingColumnError
        If no column gives the village's code.
    """
    table, notes, files = _gather(path, "villages", ("ZLDWDM",), layer=layer, near=near, crs=crs)
    code = table["village_code"]
    if not (code.str.len() >= 12).any() or (code.str[9:12] == "000").all():  # noqa: PLR2004 - digits of a village code
        raise InputError(
            f"{table['source_file'].iloc[0]} 只到乡级（代码如 {code.iloc[0]}），不是村界；请提供村级调查区 CJDCQ"
        )
    table["village_code"] = code.str[:12]
    return Reading(table=table, findings=_joined(notes), files=files)


def groups(
    path: Path | str,
    *,
    layer: str | None = None,
    near: GeoDataFrame | None = None,
    crs: CRS | str | None = None,
) -> Reading:
    """Villager-group areas (ZJQY).

    Returns
    -------
    Reading
        Layer ``groups``, a row a polygon of the file.

    Raises
    ------
    InputError
        If the path cannot be read.
    MissingColumnError
        If no column gives the group's code.
    """
    table, notes, files = _gather(path, "groups", ("ZJQYDM",), layer=layer, near=near, crs=crs)
    table["group_code"] = table["group_code"].str[:14]
    return Reading(table=table, findings=_joined(notes), files=files)


def baseline(
    path: Path | str,
    *,
    layer: str | None = None,
    near: GeoDataFrame | None = None,
    crs: CRS | str | None = None,
) -> Reading:
    """Patches of an older survey (二调 DLTB with 3-digit codes, or an earlier 三调).

    Returns
    -------
    Reading
        Layer ``baseline``; ``land_class`` as the file has it.

    Raises
    ------
    InputError
        If the path cannot be read.
    MissingColumnError
        If DLBM is missing.
    """
    table, notes, files = _gather(path, "baseline", ("DLBM",), layer=layer, near=near, crs=crs)
    return Reading(table=table, findings=_joined(notes), files=files)


def _joined(notes: Sequence[pd.DataFrame]) -> pd.DataFrame:
    kept = [note for note in notes if len(note)]
    return pd.concat(kept, ignore_index=True) if kept else layers.no_findings()


def _gather(
    path: Path | str,
    role: str,
    needed: Sequence[str],
    *,
    layer: str | None,
    near: GeoDataFrame | None,
    crs: CRS | str | None,
    personal: bool = False,
) -> tuple[GeoDataFrame, list[pd.DataFrame], tuple[Path, ...]]:
    """All layers of a role behind a path, under our names, in one coordinate system."""
    path = Path(path)
    notes: list[pd.DataFrame] = []
    if path.is_dir() and path.suffix.lower() != ".gdb" and layer is None:
        chosen, more = delivery.choose(path, role)
        notes += more
    else:
        chosen = (path,)
    parts: list[GeoDataFrame] = []
    files: list[Path] = []
    for one in chosen:
        with sources(one, role, layer=layer) as found:
            for source in found:
                read, more = _read(source, role, needed, near=near, crs=crs, personal=personal)
                parts.append(read.table)
                notes += more
                files += read.files if source.origin == source.file or one.suffix.lower() != ".zip" else [one]
    target = near.crs if near is not None and near.crs is not None else parts[0].crs
    for at, part in enumerate(parts):
        parts[at], more = _into(part, target, role)
        notes += more
    table = schema.conform(_stack(parts), role)
    return _last(table), notes, tuple(dict.fromkeys(files))


def _last(table: GeoDataFrame) -> GeoDataFrame:
    """Geometry behind all other columns."""
    return table[[name for name in table.columns if name != "geometry"] + ["geometry"]]


def _stack(parts: Sequence[GeoDataFrame]) -> GeoDataFrame:
    crs = next((part.crs for part in parts if part.crs is not None), None)
    table = pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)
    return gpd.GeoDataFrame(table, geometry="geometry", crs=crs)


def _read(
    source: Source,
    role: str,
    needed: Sequence[str],
    *,
    near: GeoDataFrame | None,
    crs: CRS | str | None,
    personal: bool,
) -> tuple[layers.Layer, list[pd.DataFrame]]:
    """One layer with its fields under our names."""
    present: list[str] = []

    def choose(names: Sequence[str]) -> list[str]:
        present.extend(names)
        found = fields.match(names, role)
        fields.require(found, needed, file=source.origin.name, layer=source.layer or source.file.stem, present=names)
        wanted = [name for name in found.fields.values() if personal or not fields.is_personal(name)]
        if role == "parcels" and (bsm := fields.find("BSM", names)) is not None:
            wanted.append(bsm)
        if personal:
            wanted += [name for name in found.personal if name not in wanted]
        return wanted

    read = layers.read(source, near=near, crs=crs, choose=choose)
    notes = [read.findings]
    found = fields.match(present, role)
    if found.by_alias:
        notes.append(tables.alias_finding(found.by_alias, source.label))
    raw = read.table
    table = pd.DataFrame({"geometry": raw.geometry, "source_file": raw["source_file"], "source_row": raw["source_row"]})
    cast: dict[str, Callable[[pd.Series], pd.Series]] = {
        "str": fields.as_text,
        "float": fields.as_number,
        "bool": fields.as_flag,
        "Int64": _as_integer,
    }
    for column in schema.columns(role):
        if (name := found.fields.get(column.name)) is not None and name in raw:
            table[column.name] = cast[column.dtype](raw[name])
    if role == "parcels":
        bsm = fields.find("BSM", present)
        table["parcel_bsm"] = fields.as_text(raw[bsm]) if bsm is not None else pd.Series(None, index=raw.index, dtype="str")
    if personal:
        for name in found.personal:
            table[fields.personal_column(name)] = fields.as_text(raw[name])
    lacking = [field for field in found.missing if field in _MISSED.get(role, ())]
    if lacking:
        message = f"{source.label} 没有字段 {'、'.join(lacking)}"
        notes.append(findings("field_missing", message, layer=source.label, source_file=source.label))
    out = gpd.GeoDataFrame(table, geometry="geometry", crs=raw.crs)
    return layers.Layer(table=out, findings=read.findings, files=read.files), notes


_MISSED: Final = {  # fields the work can do without, but does worse
    "survey": ("TBBH", "QSXZ", "QSDWDM", "ZLDWDM", "TBMJ", "KCXS"),
    "parcels": ("SCMJ",),
}


def _as_integer(values: pd.Series) -> pd.Series:
    return fields.as_number(values).round().astype("Int64")


def _into(part: GeoDataFrame, target: CRS | None, role: str) -> tuple[GeoDataFrame, list[pd.DataFrame]]:
    """A layer in the system of the others; a change of datum is said aloud."""
    if target is None or part.crs is None or part.crs == target:
        return part, []
    label = str(part["source_file"].iloc[0])
    note = partial(findings, layer=label, source_file=label)
    if systems.same_datum(part.crs, target):
        message = f"{label} 由 {part.crs.name} 转换到 {target.name}"
        return systems.convert(part, target), [note("crs_converted", message)]
    message = (
        f"{label} 的基准是{systems.datum_of(part.crs)}，{_LAYER_OF[role]}图层按 {target.name} 处理："
        "经纬度原样沿用，未作基准转换，位置可能相差数十米以上"
    )
    return systems.convert(part, target), [note("datum_differs", message)]


def _belongs(table: GeoDataFrame, near: GeoDataFrame) -> list[pd.DataFrame]:
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
        str(label): systems.robust_bounds(part.geometry) for label, part in table.groupby("source_file", sort=True)
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
    return str(sorted(counts[counts == counts.max()].index)[0]) if len(counts) else None


def _unique(
    code: pd.Series, table: GeoDataFrame, missing: pd.Series, bsm: pd.Series, layer: str, field: str
) -> tuple[pd.Series, list[pd.DataFrame]]:
    """Codes made unique: of rows alike the first by BSM keeps its code, the others get '~2', '~3' behind it.

    Where BSM does not tell them apart their place does, so that the order of rows in the file does not matter.
    """
    notes = []
    if missing.any():
        rows = table[missing]
        messages = [
            f"{file} 第 {row + 1} 行没有{field}"
            for file, row in zip(rows["source_file"], rows["source_row"], strict=True)
        ]
        notes.append(findings("code_missing", messages, layer=layer, rows=rows, row_code=list(code[missing])))
    again = code.duplicated(keep=False)
    if not again.any():
        return code, notes
    boxes = shapely.bounds(table.geometry.to_numpy()[again])
    order = pd.DataFrame(boxes, columns=["west", "south", "east", "north"], index=code.index[again])
    order.insert(0, "code", code[again])
    order.insert(1, "bsm", bsm[again].fillna(""))
    order["area"] = shapely.area(table.geometry.to_numpy()[again])
    order["file"], order["row"] = table.loc[again, "source_file"], table.loc[again, "source_row"]
    order = order.sort_values(list(order.columns), kind="stable")
    rank = order.groupby("code").cumcount() + 1
    out = code.copy()
    later = rank[rank > 1]
    out[later.index] = code[later.index] + "~" + later.astype("str")
    rows = table[again & ~missing]
    if len(rows):
        count = code.map(code[again].value_counts())
        messages = [
            f"编码 {value} 有 {number} 行；本行记为 {new}"
            for value, number, new in zip(code[rows.index], count[rows.index].astype(int), out[rows.index], strict=True)
        ]
        notes.append(findings("duplicate_code", messages, layer=layer, rows=rows, row_code=list(out[rows.index])))
    return out, notes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Register:
    rights: pd.DataFrame
    issuers: pd.DataFrame
    contractors: pd.DataFrame
    findings: pd.DataFrame
    files: tuple[Path, ...]


def _register(path: Path | str | None, *, personal: bool) -> _Register:
    """CBDKXX, FBF and CBF, under our names."""
    empty = {name: schema.conform(pd.DataFrame(), name) for name in ("rights", "issuers", "contractors")}
    if path is None:
        message = "没有提供承包地块信息（CBDKXX），无法判断地块是否已登记到户"
        return _Register(**empty, findings=findings("rights_missing", message, layer="rights"), files=())
    read = tables.read(path, "rights", needed=("DKBM",), personal=personal)
    if read is None:
        raise InputError(f"{Path(path).name} 里没有{tables.ROLE_TITLES['rights']}表")
    notes, files = [read.findings], list(read.files)
    table = read.table
    label = str(Path(path).name)
    for area, mu, field in (
        ("contract_area_m2", "contract_area_mu", "HTMJ"),
        ("former_contract_area_m2", "former_contract_area_mu", "YHTMJ"),
    ):
        if mu in table and area not in table:
            table[area] = (fields.as_number(table[mu]) * M2_PER_MU).round(2)
            message = f"{label} 没有 {field}，由 {field}M（亩）÷ 0.0015 换算"
            notes.append(findings("contract_area_from_mu", message, layer="rights", source_file=label))
    if "share_based" in table:
        table["share_based"] = fields.as_flag(table["share_based"])
    rights = schema.conform(table.drop(columns=[c for c in table if c.endswith("_mu")]), "rights")
    out = {"rights": rights}
    for role in ("issuers", "contractors"):
        other = tables.read(path, role, personal=personal, optional=True)
        out[role] = empty[role]
        if other is not None:
            notes.append(other.findings)
            files += other.files
            out[role] = schema.conform(other.table, role)
    return _Register(**out, findings=_joined(notes), files=tuple(dict.fromkeys(files)))


_JOINED: Final = (
    "issuer_code",
    "contractor_code",
    "acquisition_kind",
    "contract_area_m2",
    "former_contract_area_m2",
    "share_based",
)


def _join(table: GeoDataFrame, rights: pd.DataFrame) -> tuple[GeoDataFrame, list[pd.DataFrame]]:
    """Parcels with the registration of the same DKBM; of several the first by contractor."""
    notes = []
    named = rights[rights["parcel_code"].notna()].sort_values(
        ["parcel_code", "contractor_code", "contract_code", "contract_area_m2", "issuer_code"], kind="stable"
    )
    several = named[named["parcel_code"].duplicated(keep=False)]
    for code, rows in several.groupby("parcel_code"):
        holders = "、".join(dict.fromkeys(rows["contractor_code"].fillna("（空）")))
        message = f"地块 {code} 有 {len(rows)} 条承包登记，承包方：{holders}"
        notes.append(findings("rights_duplicate", message, layer="rights", row_code=str(code)))
    first = named.drop_duplicates("parcel_code").set_index("parcel_code")
    out = table.copy()
    for column in _JOINED:
        out[column] = table["parcel_code"].map(first[column])
    out["has_rights"] = table["parcel_code"].isin(first.index)
    own = out["parcel_code"].str[:14].where(out["parcel_code"].str.len() >= 14)  # noqa: PLR2004 - digits of an issuer code
    out["issuer_code"] = out["issuer_code"].fillna(own)
    lone = named[~named["parcel_code"].isin(table["parcel_code"])]
    village = lone["issuer_code"].fillna(lone["parcel_code"]).str[:12]
    for code, rows in lone.groupby(village):
        shares = int(rows["share_based"].sum())
        told = f"，其中确权确股 {shares} 条" if shares else ""
        message = f"村 {code} 有 {len(rows)} 条承包登记找不到对应地块{told}"
        notes.append(
            findings("rights_without_parcel", message, layer="rights", row_code=str(code), village_code=str(code))
        )
    return out, notes


__all__ = [
    "ROLE_TITLES",
    "ParcelsReading",
    "Reading",
    "baseline",
    "groups",
    "parcels",
    "survey",
    "vector",
    "villages",
]
