"""What a surveyor and an office take along from a village: boundary points as text and tables, pieces as a shapefile.

Columns and field names are those of layers ``corners`` and ``piece_export`` in
``standards/columns.csv``. The same village gives the same bytes.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Final

import geopandas as gpd
import pandas as pd
import pyogrio
import shapely

from geo import schema
from geo.area import mu
from geo.atomic import whole_file
from geo.errors import OutputError
from geo.exchange.dbf import Field
from geo.exchange.shapefile import PARTS, write_shapefile
from geo.sheets.points import BoundaryPoints, exchange_text
from geo.standards import code_list
from geo.workbook import Book, Column, save, write_table

# Bytes of each text field, and digits before and after the point of each number.
_LENGTHS: Final = {
    "piece_code": 32, "piece_key": 32, "class_reason": 254, "village_name": 60, "patch_code": 40, "sheet_code": 20,
}  # fmt: skip
_TEXT: Final = 20
_NUMBER: Final = (16, 2)
_NUMBERS: Final = {"ridge_ratio": (6, 4)}
_PER_PIECE: Final = ("class_name", "land_class", "sheet_code", "area_m2", "area_mu")


def write_points(
    points: BoundaryPoints, stem: Path, *, title: str, producer: str = "", date: str = ""
) -> list[Path]:
    """Boundary points as ``.txt`` (exchange text, GBK), ``.csv`` (UTF-8) and ``.xlsx``.

    Parameters
    ----------
    points : BoundaryPoints
    stem : Path
        Path of the three files without their suffix.
    title : str
        Heading of the workbook.
    producer, date : str
        As in `geo.sheets.points.exchange_text`.

    Returns
    -------
    list of Path
        Files written.

    Raises
    ------
    OutputError
        If a file cannot be written; what stood there is untouched.
    """
    text, table, book = (stem.with_name(f"{stem.name}{end}") for end in (".txt", ".csv", ".xlsx"))
    with whole_file(text) as scratch:
        # Approval software opens the text in the code page of its system.
        scratch.write_bytes(exchange_text(points, producer=producer, date=date).encode("gbk", "replace"))
    rows = corner_table(points)
    for name in ("x_m", "y_m"):
        rows[name] = rows[name].map(f"{{:.{points.decimals}f}}".format)
    rows["edge_m"] = rows["edge_m"].map("{:.2f}".format)
    with whole_file(table) as scratch:
        rows.rename(columns=schema.titles("corners")).to_csv(
            scratch, index=False, encoding="utf-8-sig", lineterminator="\r\n"
        )
    save(book, partial(_book, points=points, title=title))
    return [text, table, book]


def corner_table(points: BoundaryPoints) -> pd.DataFrame:
    """Layer ``corners``: a row a corner of a ring, with code, class and area of its piece beside it."""
    about = points.pieces.set_index("at")[list(_PER_PIECE)]
    return schema.conform(points.corners.join(about, on="at"), "corners")[schema.column_names("corners")]


def write_pieces(pieces: gpd.GeoDataFrame, path: Path) -> list[Path]:
    """Pieces as a shapefile in GBK with ``.cpg`` and ``.prj``, each of its files whole or not at all.

    Parameters
    ----------
    pieces : GeoDataFrame
        Layer ``pieces``; rows are written by code. Rows without geometry are left out.
    path : Path
        The ``.shp``.

    Returns
    -------
    list of Path
        Files written.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    shapes = pieces.geometry.to_numpy()
    rows = pieces[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    table = schema.conform(rows, "pieces").assign(
        class_name=rows["piece_class"].map(code_list("piece_class")),
        shape_name=rows["piece_shape"].map(code_list("piece_shape")),
        area_mu=mu(rows["area_m2"]),
        net_area_mu=mu(rows["net_area_m2"]),
    )
    table = table.sort_values(["piece_code", "patch_code"], kind="stable")
    written = []
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"pieces{path.suffix}"
        try:
            write_shapefile(table, export_fields(), made)
        except (OSError, pyogrio.errors.DataSourceError) as error:
            raise OutputError(f"写不了 {path}（{error}）：请检查磁盘空间和写权限") from error
        for part in PARTS:
            if (file := made.with_suffix(part)).exists():
                target = path.with_suffix(part)
                with whole_file(target) as scratch:
                    scratch.write_bytes(file.read_bytes())
                written.append(target)
    return written


def export_fields() -> tuple[Field, ...]:
    """Fields of the shapefile, in order."""
    out = []
    for column in schema.columns("piece_export"):
        if column.dtype == "float":
            out.append(Field(column.field, "N", *_NUMBERS.get(column.name, _NUMBER), column.name))
        else:
            out.append(Field(column.field, "C", _LENGTHS.get(column.name, _TEXT), 0, column.name))
    return tuple(out)


def _book(book: Book, *, points: BoundaryPoints, title: str) -> None:
    kind = "metre" if points.decimals == 3 else "level"  # noqa: PLR2004 - decimals
    headings = schema.titles("corners")
    corners = [
        Column(title=headings["piece_code"], width=24, source="piece_code"),
        Column(title=headings["ring"], width=6, source="ring", kind="count"),
        Column(title=headings["order"], width=6, source="order", kind="count"),
        Column(title=headings["number"], width=8, source="number"),
        Column(title=headings["x_m"], width=15, source="x_m", kind=kind),
        Column(title=headings["y_m"], width=16, source="y_m", kind=kind),
        Column(title=headings["edge_m"], width=10, source="edge_m", kind="level"),
        Column(title=headings["next_number"], width=8, source="next_number"),
    ]
    pieces = [
        Column(title=headings["piece_code"], width=24, source="piece_code"),
        Column(title=headings["class_name"], width=10, source="class_name"),
        Column(title="圈数", width=6, source="ring_count", kind="count"),
        Column(title="界址点数", width=9, source="point_count", kind="count"),
        Column(title="周长m", width=12, source="perimeter_m", kind="level"),
        Column(title="面积㎡", width=12, source="area_m2", kind="area"),
        Column(title="面积亩", width=10, source="area_mu", kind="mu", of="area_m2"),
        Column(title="坐标面积㎡", width=13, source="plane_area_m2", kind="level"),
        Column(title=headings["sheet_code"], width=14, source="sheet_code"),
    ]
    note = "X 为纵坐标（北），Y 为横坐标（东）；外圈从西北角起顺时针，内圈随后逆时针"
    write_table(book, "界址点成果表", corners, points.corners, title=f"{title} 界址点成果表", note=note)
    note = "面积以台账为准（椭球面积按 TBMJ 平差）；坐标面积为平面面积，只供核对"
    write_table(book, "图块面积", pieces, points.pieces, title=f"{title} 图块面积", note=note)
