"""What a delivery folder holds, by the standards' naming rules.

The confirmation's folder is ``140725寿阳县/`` with ``矢量数据/`` (DK, CJQY,
ZJQY, cut as ``-1``, ``-2`` or per township) and ``权属数据/`` (.mdb, table of
unit codes); the survey comes as DLTB and CJDCQ in a geodatabase, GeoPackage or
shapefiles, with an older survey in a folder that says so.

Source: NY/T 2539-2016, naming of deliveries.
"""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import pandas as pd

from geo.errors import InputError
from geo.exchange.sources import CONTAINERS, ROLE_TITLES, fits, layer_names, vector_files
from geo.exchange.tables import ACCESS, WORKBOOKS
from geo.findings import findings

_OLDER: Final = re.compile(r"二调|基期|基准|历史|baseline|(?<!\d)20(0\d|1[0-8])(?!\d)", re.IGNORECASE)
_FORMATS: Final = (".gdb", ".gpkg", ".parquet", ".geoparquet", ".shp", ".geojson", ".json")
_RIGHTS_TABLE: Final = re.compile(r"CBDKXX|承包地块信息", re.IGNORECASE)
_UNITS_TABLE: Final = re.compile(r"权属单位代码|^FBF\d*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Delivery:
    """Files of a delivery by what they are for; None or empty where there are none."""

    folder: Path
    survey: Path | None
    villages: Path | None
    groups: Path | None
    baseline: Path | None
    parcels: tuple[Path, ...]
    rights: Path | None
    issuers: Path | None
    findings: pd.DataFrame


def find(folder: Path | str) -> Delivery:
    """Find the layers and tables of a delivery folder.

    Parameters
    ----------
    folder : Path
        Root of a delivery, or a folder with several (survey and confirmation side by side).

    Returns
    -------
    Delivery
        One path a role (parcels: all parts). Where a layer is there in several formats
        the first of gdb, gpkg, parquet, shp is taken, and a finding says so.

    Raises
    ------
    InputError
        If ``folder`` is none, or two different layers claim one role.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} 不是文件夹；请给出交付成果的根目录")
    layers = {item.name for item in fields(Delivery)}  # a county's grids are read by their own path
    roles = {role: _candidates(folder, role) for role in ROLE_TITLES if role in layers}
    notes: list[pd.DataFrame] = []
    chosen = {role: _pick(found, folder, role, notes) for role, found in roles.items()}
    single = {role: paths[0] if paths else None for role, paths in chosen.items() if role != "parcels"}
    return Delivery(
        folder=folder,
        parcels=chosen["parcels"],
        rights=_table(folder, rights=True),
        issuers=_table(folder, rights=False),
        findings=pd.concat(notes, ignore_index=True) if notes else findings("source_chosen", [], layer=""),
        **single,
    )


def choose(folder: Path, role: str) -> tuple[tuple[Path, ...], list[pd.DataFrame]]:
    """Files of one role in a folder, and what was decided in choosing.

    Raises
    ------
    InputError
        If there is none; the message says what there is.
    """
    notes: list[pd.DataFrame] = []
    found = _pick(_candidates(folder, role), folder, role, notes)
    if not found:
        there = (
            "、".join(path.relative_to(folder).as_posix() for path in vector_files(folder)[:20])
            or "（没有矢量文件）"
        )
        raise InputError(f"{folder} 里找不到{ROLE_TITLES[role]}；现有文件：{there}")
    return found, notes


def _candidates(folder: Path, role: str) -> list[tuple[int, Path]]:
    """Files with a layer that fits, with its rank."""
    found = []
    files = vector_files(folder)
    for path in files:
        place = path.relative_to(folder).as_posix()
        older = bool(_OLDER.search(place)) if role in ("survey", "baseline") else False
        if role in ("survey", "baseline") and older != (role == "baseline"):
            continue
        names = layer_names(path) if path.suffix.lower() in CONTAINERS else [path.stem]
        ranks = [rank for name in names if (rank := fits(name, role)) is not None]
        if ranks:
            found.append((min(ranks), path))
    if role == "baseline" and not found:  # a folder that is itself the older survey
        return [] if not _OLDER.search(folder.name) else [(0, path) for path in files]
    return found


def _pick(
    found: list[tuple[int, Path]], folder: Path, role: str, notes: list[pd.DataFrame]
) -> tuple[Path, ...]:
    if not found:
        return ()
    best = min(rank for rank, _ in found)
    paths = [path for rank, path in found if rank == best]
    first = min(paths, key=lambda path: _FORMATS.index(path.suffix.lower())).suffix.lower()
    chosen = [path for path in paths if path.suffix.lower() == first]
    places = {path: path.relative_to(folder).as_posix() for path in paths}
    if role != "parcels" and len(chosen) > 1:
        there = "、".join(places[path] for path in chosen)
        raise InputError(f"{folder} 里有多个{ROLE_TITLES[role]}：{there}；请直接给出要用的那一个")
    left = [places[path] for path in paths if path not in chosen]
    if left:
        taken = "、".join(places[path] for path in chosen)
        message = f"{ROLE_TITLES[role]}有多种格式，选用 {taken}；未用 {'、'.join(left)}"
        notes.append(findings("source_chosen", message, layer=role, source_file=taken, row_code=taken))
    return tuple(chosen)


def _table(folder: Path, *, rights: bool) -> Path | None:
    """The table of registrations, an .mdb best; or that of unit codes."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith((".", "~")))
    if not rights:
        return next(
            (p for p in files if p.suffix.lower() in (*WORKBOOKS, ".csv") and _UNITS_TABLE.search(p.stem)),
            None,
        )
    databases = [p for p in files if p.suffix.lower() in ACCESS]
    if len(databases) > 1:
        there = "、".join(p.relative_to(folder).as_posix() for p in databases)
        raise InputError(f"{folder} 里有多个权属数据库：{there}；请用 rights 指定一个")
    if databases:
        return databases[0]
    named = [
        p for p in files if p.suffix.lower() in (*WORKBOOKS, ".csv", ".dbf") and _RIGHTS_TABLE.search(p.stem)
    ]
    if named:  # FBF and CBF lie beside it
        return named[0].parent if named[0].suffix.lower() in (".csv", ".dbf") else named[0]
    books = [p for p in files if p.suffix.lower() in WORKBOOKS and re.fullmatch(r"\d{10}", p.stem)]
    return books[0] if books else None
