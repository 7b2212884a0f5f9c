"""What the set holds, sheet by sheet and piece by piece, and that it is what the ledger holds.

Every piece has one page where its row stands, so that areas of pages, pieces
and ledger are one sum.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from geo import schema
from geo.area import from_cents, mu, to_cents
from geo.atomic import whole_file
from geo.errors import BalanceError, MismatchError
from geo.sheets.frames import Frame, frame_shapes
from geo.sheets.unit import Job, Record
from geo.standards import code_list

KINDS: Final = {"map": "分幅图", "overview": "总览图", "empty": "无图块"}

_DONE: Final = "完成"
_FAILED: Final = "出错"
_PER_PAGE: Final = ("geopdf", "png")  # formats with a file a page


def sheet_rows(done: Iterable[tuple[Job, Record]], pieces: pd.DataFrame) -> pd.DataFrame:
    """Columns of layer ``sheets``: a row a page, in the order of units and pages.

    Parameters
    ----------
    done : iterable of (Job, Record)
        Units with pages, and what was made of each.
    pieces : DataFrame
        ``piece_code, area_m2`` of the pieces the set shows.
    """
    cents = dict(zip(pieces["piece_code"], to_cents(pieces["area_m2"]).tolist(), strict=True))
    rows = []
    for job, record in done:
        for frame in job.frames:
            wrong = sorted(
                {
                    text
                    for told in record.errors.values()
                    for key, text in told.items()
                    if key in {"", frame.key}
                }
            )
            files = [path for name in sorted(record.files) for path in _files_of(record, name, frame.key)]
            rows.append(
                {
                    "sheet_key": frame.key,
                    "sheet_number": frame.number,
                    "sheet_kind": frame.kind,
                    "unit_code": frame.unit_code,
                    "unit_name": frame.unit_name,
                    "page": frame.page,
                    "pages": frame.pages,
                    "scale": frame.scale,
                    "paper": frame.paper,
                    "piece_count": len(frame.piece_codes),
                    "home_count": len(frame.home_codes),
                    "area_m2": from_cents(sum(cents[code] for code in frame.home_codes)).item(),
                    "status": _FAILED if wrong else _DONE,
                    "message": "；".join([*wrong, *filter(None, [record.notes.get(frame.key, "")])]),
                    "file": ";".join(files),
                }
            )
    return schema.conform(pd.DataFrame(rows), "sheets")[schema.column_names("sheets")]


def sheet_layer(done: Sequence[tuple[Job, Record]], pieces: pd.DataFrame, crs: CRS) -> gpd.GeoDataFrame:
    """Layer ``sheets`` of a workspace: `sheet_rows`, each with the land of its page."""
    frames = [frame for job, _ in done for frame in job.frames]
    return gpd.GeoDataFrame(sheet_rows(done, pieces), geometry=frame_land(frames, crs), crs=crs)


def frame_land(frames: Sequence[Frame], crs: CRS) -> gpd.GeoSeries:
    """Land of each page in ``crs``; none where a page lies nowhere."""
    shapes = frame_shapes(frames)
    shapes[shapely.is_empty(shapes)] = None
    for system in sorted({frame.crs for frame in frames} - {""}):
        apart = np.array([frame.crs == system for frame in frames])
        shapes[apart] = gpd.GeoSeries(shapes[apart], crs=system).to_crs(crs).to_numpy()
    return gpd.GeoSeries(shapes, crs=crs)


def manifest(
    done: Iterable[tuple[Job, Record]], tables: Iterable[tuple[Job, Record]], pieces: pd.DataFrame
) -> pd.DataFrame:
    """Layer ``manifest``: a row a page, below it a row a piece that it shows; at the end a row a village's tables.

    Parameters
    ----------
    done : iterable of (Job, Record)
        Units with pages.
    tables : iterable of (Job, Record)
        Villages' tables.
    pieces : DataFrame
        ``piece_code, piece_class, area_m2`` of the pieces the set shows.
    """
    done = list(done)
    by_code = pieces.set_index("piece_code")[["piece_class", "area_m2"]]
    sheets = sheet_rows(done, pieces).assign(row_kind="图幅")
    sheets["at"] = np.arange(len(sheets))
    frames = [frame for job, _ in done for frame in job.frames]
    shown = [
        (at, code, code in set(frame.home_codes))
        for at, frame in enumerate(frames)
        for code in frame.piece_codes
    ]
    land = pd.DataFrame(shown, columns=["at", "piece_code", "is_home"])
    about = by_code.reindex(land["piece_code"]).reset_index(drop=True)
    land = land.assign(
        row_kind="图块",
        piece_class=about["piece_class"].map(code_list("piece_class")),
        area_m2=about["area_m2"],
    ).merge(
        sheets[["at", "sheet_key", "sheet_number", "unit_code", "unit_name", "page", "status"]],
        on="at",
        how="left",
    )
    rest = pd.DataFrame([_tables_row(job, record) for job, record in tables])
    every = pd.concat([sheets, land], ignore_index=True).sort_values("at", kind="stable")
    every["sheet_kind"] = every["sheet_kind"].map(KINDS)
    every["is_home"] = every["is_home"].map({True: "是", False: "否"})
    out = pd.concat([every, rest], ignore_index=True) if len(rest) else every
    out["area_mu"] = mu(out["area_m2"]) if "area_m2" in out else np.nan
    return schema.conform(out, "manifest")[schema.column_names("manifest")].reset_index(drop=True)


def write_manifest(table: pd.DataFrame, path: Path) -> None:
    """Write the manifest as CSV in UTF-8 that Excel opens.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    out = table.copy()
    for column in schema.columns("manifest"):
        if column.dtype == "str":
            # Excel runs a CSV cell that begins so; an apostrophe makes it text.
            out[column.name] = out[column.name].str.replace(r"^(?=[=+\-@\t\r])", "'", regex=True)
    for name in ("area_m2", "area_mu"):
        out[name] = [f"{value:.2f}" if pd.notna(value) else "" for value in out[name]]
    with whole_file(path) as scratch:
        out.rename(columns=schema.titles("manifest")).to_csv(
            scratch, index=False, encoding="utf-8-sig", lineterminator="\r\n"
        )


def prove(frames: Iterable[Frame], pieces: pd.DataFrame) -> None:
    """See that the pages list every piece once, as the ledger does.

    Raises
    ------
    MismatchError
        If a piece has no code or no area, or two have one code: a fault of the workspace.
    BalanceError
        If a piece has no page of its own, or two.
    """
    wanted = pieces["piece_code"].fillna("")
    again = "请用 taotu reconcile 重新生成工作区"
    if (wanted == "").any():
        raise MismatchError(f"图块层有 {int((wanted == '').sum())} 个图块没有编号；{again}")
    if wanted.duplicated().any():
        code = wanted[wanted.duplicated()].iloc[0]
        raise MismatchError(f"图块层中编号 {code} 出现 {int((wanted == code).sum())} 次，编号应唯一；{again}")
    if pieces["area_m2"].isna().any():
        raise MismatchError(f"图块 {wanted[pieces['area_m2'].isna()].iloc[0]} 没有面积；{again}")
    listed = Counter(code for frame in frames for code in frame.home_codes)
    off = sorted(set(wanted) ^ set(listed) | {code for code, times in listed.items() if times > 1})
    if off:
        raise BalanceError(f"图幅与台账不符：图块 {off[0]} 等 {len(off)} 个不在图上或重复")


def _files_of(record: Record, name: str, key: str) -> list[str]:
    """Files of a format that a page is in."""
    files = sorted(record.files[name])
    return (
        [path for path in files if Path(path).stem.partition("_")[0] == key] if name in _PER_PAGE else files
    )


def _tables_row(job: Job, record: Record) -> dict[str, str]:
    wrong = sorted({text for told in record.errors.values() for text in told.values()})
    return {
        "row_kind": "村成果",
        "unit_code": job.code,
        "unit_name": job.name,
        "status": _FAILED if wrong else _DONE,
        "message": "；".join([*wrong, *filter(None, [record.notes.get("", "")])]),
        "file": ";".join(path for files in record.files.values() for path in sorted(files)),
    }
