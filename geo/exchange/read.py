"""Layers of the survey and of the contract parcels, read into the names the rest works with.

Fields are matched by name, geometry is taken as drawn, codes are made unique
but kept in order, and all that had to be inferred is a finding. Whatever a
row lacks, the row stays.

Source: TD/T 1057-2020 (DLTB, CJDCQ, XZQ); NY/T 2539-2016 (DK, CBDKXX, FBF, CBF).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from geopandas import GeoDataFrame
from pyproj import CRS

from geo import schema
from geo.datum import DatumShift
from geo.errors import InputError, MismatchError
from geo.exchange import vector as layers
from geo.exchange.gather import How, belongs, gather, last, stack
from geo.exchange.keys import unique
from geo.exchange.register import join, read_register, tables_beside
from geo.exchange.sources import sources
from geo.exchange.vector import joined


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


def survey(  # noqa: PLR0913 - what a caller may know of a file, by name
    path: Path | str,
    *,
    layer: str | None = None,
    county: str | None = None,
    near: GeoDataFrame | None = None,
    crs: CRS | str | None = None,
    datum: Sequence[DatumShift] = (),
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
    datum : sequence of DatumShift
        Ways from old datums to CGCS2000; a layer on an old datum with no way stays tens of metres off.
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
    MismatchError
        If no row is located in ``county``.
    """
    how = How(layer=layer, near=near, crs=crs, personal=personal, datum=tuple(datum))
    table, notes, files = gather(path, "survey", ("DLBM",), how)
    if county:
        inside = table["location_unit_code"].str.startswith(county).fillna(value=False).astype(bool)
        if not inside.any():
            there = "、".join(sorted(table["location_unit_code"].dropna().str[:6].unique())[:5]) or "无"
            raise MismatchError(
                f"{Path(path).name} 里没有代码 {county} 的图斑；坐落单位县代码有：{there}；请核对县代码"
            )
        table = table[inside].reset_index(drop=True)
    table["ridge_ratio"] = table["ridge_ratio"].fillna(0.0)
    village = table["location_unit_code"].str[:12].fillna("")
    number = table["patch_number"].fillna(table["patch_bsm"])
    table["patch_code"], more = unique(
        village + "-" + number,
        table,
        bsm=table["patch_bsm"],
        layer="survey",
        field="图斑编号和标识码",
        stem=village + "-",
    )
    return Reading(table=table, findings=joined([*notes, *more]), files=files)


def parcels(  # noqa: PLR0913 - what a caller may know of a file, by name
    path: Path | str | Sequence[Path | str],
    *,
    rights: Path | str | None = None,
    layer: str | None = None,
    near: GeoDataFrame | None = None,
    crs: CRS | str | None = None,
    datum: Sequence[DatumShift] = (),
    personal: bool = False,
    contractors: bool = True,
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
    datum : sequence of DatumShift
        As in `survey`.
    personal : bool
        Whether to read columns of persons.
    contractors : bool
        Whether to read the contractors (CBF) too; without, that table is empty.

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
    how = How(layer=layer, near=near, crs=crs, personal=personal, datum=tuple(datum))
    with ThreadPoolExecutor(max_workers=1) as beside:  # the register is read while the parcels are
        pending = beside.submit(
            lambda: read_register(rights, *tables_beside(paths), personal=personal, contractors=contractors)
        )
        parts = [gather(one, "parcels", ("DKBM", "DKLB"), how) for one in paths]
    table = stack([part[0] for part in parts])
    notes = [note for part in parts for note in part[1]]
    files = [file for part in parts for file in part[2]]
    if near is not None:
        notes += belongs(table, near)
    register = pending.result()
    table, more = join(table, register.rights)
    notes += [register.findings, *more]
    code, bsm = table["parcel_code"], table["parcel_bsm"]
    table = schema.conform(table.drop(columns="parcel_bsm"), "parcels")
    table["parcel_code"], more = unique(code, table, bsm=bsm, layer="parcels", field="地块编码")
    return ParcelsReading(
        table=last(table),
        findings=joined([*notes, *more]),
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
    datum: Sequence[DatumShift] = (),
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
    table, notes, files = gather(
        path, "villages", ("ZLDWDM",), How(layer=layer, near=near, crs=crs, datum=tuple(datum))
    )
    code = table["village_code"]
    if not (code.str.len() >= 12).any() or (code.str[9:12] == "000").all():  # noqa: PLR2004 - digits of a village code
        raise InputError(
            f"{table['source_file'].iloc[0]} 只到乡级（代码如 {code.iloc[0]}），不是村界；请提供村级调查区 CJDCQ"
        )
    table["village_code"] = code.str[:12]
    return Reading(table=table, findings=joined(notes), files=files)


def groups(
    path: Path | str,
    *,
    layer: str | None = None,
    near: GeoDataFrame | None = None,
    crs: CRS | str | None = None,
    datum: Sequence[DatumShift] = (),
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
    table, notes, files = gather(
        path, "groups", ("ZJQYDM",), How(layer=layer, near=near, crs=crs, datum=tuple(datum))
    )
    table["group_code"] = table["group_code"].str[:14]
    return Reading(table=table, findings=joined(notes), files=files)


def baseline(
    path: Path | str,
    *,
    layer: str | None = None,
    near: GeoDataFrame | None = None,
    crs: CRS | str | None = None,
    datum: Sequence[DatumShift] = (),
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
    table, notes, files = gather(
        path, "baseline", ("DLBM",), How(layer=layer, near=near, crs=crs, datum=tuple(datum))
    )
    return Reading(table=table, findings=joined(notes), files=files)
