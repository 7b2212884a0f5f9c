"""Land as a drawing for CAD: outlines and holes where they are, codes as text and as data on each line.

Two kinds of file. R2004 in code page 936 is what GDAL, QGIS and every CAD since
2004 read with its Chinese right; R2010 is UTF-8, whose header no reader of
that family believes, so it is for newer CAD alone. Coordinates are written as
they are, x to the east and y to the north, in metres. Entities are written some
at a time: a group's land is larger as ezdxf holds it than a worker may be.

Source: AutoCAD DXF Reference, group codes of LWPOLYLINE, HATCH and extended data.
"""

import io
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from pyproj import CRS

from geo.errors import GeometryTypeError

if TYPE_CHECKING:
    from ezdxf.document import Drawing
    from ezdxf.layouts import Modelspace

APP: Final = "TAOTU"  # owner of the extended data
OUTSIDE_GBK: Final = "〓"  # the printers' mark for a character that is not in the case

_FONT: Final = "simsun.ttf"  # 宋体 stands on every Windows that runs a Chinese CAD
_STYLE: Final = "TAOTU"
_WHITE: Final = 7
_LONGEST_DATA: Final = 255  # bytes of one string of extended data
_HELD: Final = 400  # entities held at once
_ENTITIES: Final = "  0\nSECTION\n  2\nENTITIES\n"

# layer: (Chinese name, ASCII name, colour index, line weight in 1/100 mm)
_LAYERS: Final = {
    "villages": ("村界", "VILLAGE", 6, 50),
    "patches": ("图斑", "PATCH", 34, 18),
    "patch_text": ("图斑注记", "PATCH_TEXT", 34, 18),
    "parcels": ("承包地块", "PARCEL", 8, 13),
    "parcel_text": ("承包地块注记", "PARCEL_TEXT", 8, 13),
    "UNCONFIRMED": ("图块_未确权", "PIECE_W", 1, 35),
    "NEWLY_ADDED": ("图块_新增", "PIECE_X", 5, 35),
    "UNDETERMINED": ("图块_待定", "PIECE_D", 30, 35),
    "UNCONFIRMED_fill": ("图块_未确权_填充", "PIECE_W_FILL", 1, 0),
    "NEWLY_ADDED_fill": ("图块_新增_填充", "PIECE_X_FILL", 5, 0),
    "UNDETERMINED_fill": ("图块_待定_填充", "PIECE_D_FILL", 30, 0),
    "piece_text": ("图块注记", "PIECE_TEXT", _WHITE, 18),
    "points": ("界址点", "POINT", 3, 18),
    "point_text": ("界址点号", "POINT_TEXT", 3, 13),
    "frames": ("图廓", "FRAME", _WHITE, 35),
    "frame_text": ("图廓注记", "FRAME_TEXT", _WHITE, 18),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DxfSettings:
    """What a drawing is made for."""

    version: Literal["R2004", "R2010"] = "R2004"
    chinese_layers: bool = True  # names of layers; else in letters every system sorts alike
    text_height_m: float = 4.0  # of a piece's code: 2.0 mm on a 1:2000 sheet
    fill: bool = True  # pieces filled, on layers of their own


def dxf(layers: Mapping[str, gpd.GeoDataFrame], *, settings: DxfSettings | None = None) -> bytes:
    """A drawing of these layers; the same layers in any row order give the same bytes.

    Parameters
    ----------
    layers : mapping of name to GeoDataFrame, all in one projected CRS
        Any of ``villages``, ``patches``, ``parcels`` and ``pieces`` with their
        columns of a workspace; ``frames`` with ``key`` and ``number``; ``points``
        with ``number`` (`geo.sheets.points`). Rows without geometry are not drawn.
    settings : DxfSettings, optional

    Returns
    -------
    bytes
        A file. Every ring is a closed LWPOLYLINE; a piece is filled by a HATCH
        whose holes are open. Outlines and fills carry their row's code and area
        as extended data of application ``TAOTU``.

    Raises
    ------
    GeometryTypeError
        If a row of a layer of areas is a point or a line.
    """
    entities = io.BytesIO()
    head, tail = _drawn(layers, settings or DxfSettings(), entities)
    return b"".join([head, entities.getvalue(), tail])


def write_dxf(
    layers: Mapping[str, gpd.GeoDataFrame], path: Path, *, settings: DxfSettings | None = None
) -> None:
    """The same into a file; memory does not grow with it.

    Parameters
    ----------
    layers, settings
        As `dxf` takes them.
    path : Path
        File to write; its folder also holds a nameless one meanwhile.

    Raises
    ------
    GeometryTypeError
        As `dxf` does.
    OSError
        If the file cannot be written.
    """
    with tempfile.TemporaryFile(dir=path.parent) as entities, path.open("wb") as file:
        head, tail = _drawn(layers, settings or DxfSettings(), entities)
        entities.seek(0)
        file.write(head)
        shutil.copyfileobj(entities, file)
        file.write(tail)


def _drawn(
    layers: Mapping[str, gpd.GeoDataFrame], settings: DxfSettings, entities: IO[bytes]
) -> tuple[bytes, bytes]:
    """What stands in the file before the entities, and after them; those are written to ``entities``."""
    import ezdxf  # noqa: PLC0415 - 24 MB that a set without drawings does not need

    with _fixed_meta_data():
        drawing = ezdxf.new(settings.version)
        drawing.encoding = "gbk"
        drawing.units = ezdxf.units.M
        drawing.appids.add(APP)
        drawing.styles.add(_STYLE, font=_FONT)
        sheet = _Sheet(drawing, settings, entities)
        _set_system(drawing, layers)
        sheet.areas(layers, "villages", "village_code", ("village_name",))
        sheet.areas(layers, "patches", "patch_code", ("land_class", "patch_area_m2"))
        sheet.areas(layers, "parcels", "parcel_code", ("parcel_class", "surveyed_area_m2"))
        sheet.pieces(layers)
        sheet.points(layers)
        sheet.areas(layers, "frames", "key", ("number",))
        sheet.titles(layers)
        sheet.put(at_least=1)
        for kind in sorted(drawing.entitydb.dxf_types_in_use()):
            drawing.classes.add_class(kind)  # else they come from a set, in another order in each process
        text = io.StringIO()
        drawing.write(text)  # last, for its head names the handle after all others
    head, section, tail = text.getvalue().replace("\r\n", "\n").partition(_ENTITIES)
    code = drawing.output_encoding
    return (head + section).encode(code), tail.encode(code)


def outside_gbk(text: str) -> str:
    """Characters of a text that code page 936 does not hold, each once, sorted."""
    return "".join(sorted({mark for mark in text if not _holds(mark)}))


class _Sheet:
    """The model space in the making: entities come, are written, and go."""

    def __init__(self, drawing: "Drawing", settings: DxfSettings, entities: IO[bytes]) -> None:
        from ezdxf.enums import TextEntityAlignment  # noqa: PLC0415 - as above

        self.space: Modelspace = drawing.modelspace()
        self.drawing = drawing
        self.entities = entities
        self.middle = TextEntityAlignment.MIDDLE_CENTER
        self.settings = settings
        self.gbk = settings.version == "R2004"
        self.names: dict[str, str] = {}
        for key, (chinese, ascii_name, colour, weight) in _LAYERS.items():
            name = chinese if settings.chinese_layers else ascii_name
            drawing.layers.add(name, color=colour, lineweight=weight)
            self.names[key] = name

    def areas(
        self, layers: Mapping[str, gpd.GeoDataFrame], layer: str, code: str, more: tuple[str, ...]
    ) -> None:
        """Outlines of a layer, each ring with its row's code."""
        for row, shape in _rows(layers, layer, code, more):
            data = self.data(row, code, more)
            for ring, role in _rings(shape):
                self.outline(ring, self.names[layer], [*data, (1000, f"ring={role}")])

    def pieces(self, layers: Mapping[str, gpd.GeoDataFrame]) -> None:
        """Pieces by class: fill below, outline above, code and mu in the middle."""
        more = ("piece_class", "piece_shape", "patch_code", "area_m2", "net_area_m2", "area_mu")
        rows = list(_rows(layers, "pieces", "piece_code", more))
        data = [self.data(row, "piece_code", more) for row, _ in rows]
        kinds = [str(row.get("piece_class") or "UNDETERMINED") for row, _ in rows]
        if self.settings.fill:
            for (_, shape), kind, told in zip(rows, kinds, data, strict=True):
                self.fill(shape, self.names[f"{kind}_fill"], _LAYERS[kind][2], told)
        for (_, shape), kind, told in zip(rows, kinds, data, strict=True):
            for ring, role in _rings(shape):
                self.outline(ring, self.names[kind], [*told, (1000, f"ring={role}")])
        for (row, shape), told in zip(rows, data, strict=True):
            place = shapely.point_on_surface(shape)
            height = self.settings.text_height_m
            self.text(str(row["piece_code"]), (place.x, place.y), "piece_text", height, told)
            if not pd.isna(row.get("area_mu")):
                self.text(f"{row['area_mu']:.2f}亩", (place.x, place.y - 1.5 * height), "piece_text", height)

    def points(self, layers: Mapping[str, gpd.GeoDataFrame]) -> None:
        """Boundary points and their numbers."""
        for row, shape in _rows(layers, "points", "number", areas=False):
            place = (shape.x, shape.y)
            self.space.add_point(place, dxfattribs={"layer": self.names["points"]})
            self.put()
            half = 0.5 * self.settings.text_height_m
            self.text(f"{row['number']}", (place[0] + half, place[1] + half), "point_text", half)

    def titles(self, layers: Mapping[str, gpd.GeoDataFrame]) -> None:
        """The number of each frame above its upper edge."""
        for row, shape in _rows(layers, "frames", "key", ("number",)):
            west, _, east, north = shape.bounds
            height = 2 * self.settings.text_height_m
            self.text(
                str(row.get("number") or row["key"]),
                ((west + east) / 2, north + height),
                "frame_text",
                height,
            )

    def data(self, row: dict[str, Any], code: str, more: tuple[str, ...]) -> list[tuple[int, Any]]:
        """Extended data: the code first, then ``name=value`` of what else is known."""
        told: list[tuple[int, Any]] = [(1000, self.plain(str(row.get(code) or "")))]
        for name in more:
            value = row.get(name)
            if value is None or pd.isna(value):
                continue
            told.append((1000, self.plain(f"{name}={value}")))
        return told

    def put(self, at_least: int = _HELD) -> None:
        """Write the entities that are held, if there are so many, and forget them; their handles stay taken."""
        from ezdxf.lldxf.tagwriter import TagWriter  # noqa: PLC0415 - as above

        if len(self.space) < at_least:
            return
        text = io.StringIO()
        writer = TagWriter(text, dxfversion=self.drawing.dxfversion)
        for entity in self.space:
            entity.export_dxf(writer)
        self.entities.write(text.getvalue().encode(self.drawing.output_encoding))
        for entity in self.space:
            self.drawing.entitydb.delete_entity(entity)
        self.space.entity_space.clear()

    def outline(self, ring: npt.NDArray[np.float64], layer: str, data: list[tuple[int, Any]]) -> None:
        line = self.space.add_lwpolyline(ring.tolist(), close=True, dxfattribs={"layer": layer})
        line.set_xdata(APP, data)
        self.put()

    def fill(self, shape: Any, layer: str, colour: int, data: list[tuple[int, Any]]) -> None:  # noqa: ANN401 - an area
        hatch = self.space.add_hatch(color=colour, dxfattribs={"layer": layer, "hatch_style": 0})
        hatch.transparency = 0.7
        for ring, role in _rings(shape):
            flags = 1 if role == "outer" else 16  # external; outermost within it
            hatch.paths.add_polyline_path(ring.tolist(), is_closed=True, flags=flags)
        hatch.set_xdata(APP, data)
        self.put()

    def text(
        self,
        text: str,
        place: tuple[float, float],
        layer: str,
        height: float,
        data: list[tuple[int, Any]] | None = None,
    ) -> None:
        entity = self.space.add_text(
            self.plain(text), height=height, dxfattribs={"layer": self.names[layer], "style": _STYLE}
        )
        entity.set_placement(place, align=self.middle)
        if data:
            entity.set_xdata(APP, data)
        self.put()

    def plain(self, text: str) -> str:
        r"""The text as the file holds it: one line; outside code page 936 as ``\U+XXXX``, beyond that a mark."""
        line = " ".join(text.split())
        if self.gbk:
            line = "".join(mark if _holds(mark) else _escaped(mark) for mark in line)
        codec = "gbk" if self.gbk else "utf-8"
        return line.encode(codec)[:_LONGEST_DATA].decode(codec, "ignore")


def _holds(mark: str) -> bool:
    try:
        mark.encode("gbk")
    except UnicodeEncodeError:
        return False
    return True


def _escaped(mark: str) -> str:
    # The escape has four digits: what lies beyond them would be read as another character.
    return f"\\U+{ord(mark):04X}" if ord(mark) <= 0xFFFF else OUTSIDE_GBK  # noqa: PLR2004 - four hex digits


def _rows(
    layers: Mapping[str, gpd.GeoDataFrame],
    layer: str,
    code: str,
    more: tuple[str, ...] = (),
    *,
    areas: bool = True,
) -> Iterator[tuple[dict[str, Any], Any]]:
    """Rows with a shape, in the order of their codes, then of their place."""
    table = layers.get(layer)
    if table is None or table.empty:
        return
    shapes = np.asarray(table.geometry.to_numpy(), dtype=object)
    drawn = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    if areas:
        stray = drawn & (shapely.get_dimensions(shapes) != 2)  # noqa: PLR2004 - of an area
        if stray.any():
            at = int(np.flatnonzero(stray)[0])
            raise GeometryTypeError(f"图层 {layer} 第 {at} 行的图形是 {shapes[at].geom_type}，应为面")
    wkb = [shapely.to_wkb(shape) if held else b"" for shape, held in zip(shapes, drawn, strict=True)]
    codes = table[code].fillna("").astype("str").tolist()
    order = sorted(np.flatnonzero(drawn).tolist(), key=lambda at: (_by_length(codes[at], code), wkb[at]))
    columns = {name: table[name].tolist() for name in (code, *more) if name in table}
    for at in order:
        yield {name: values[at] for name, values in columns.items()}, shapes[at]


def _by_length(code: str, name: str) -> tuple[int, str]:
    """Numbers of points count up: J9 before J10."""
    return (len(code) if name == "number" else 0, code)


def _rings(shape: Any) -> Iterator[tuple[npt.NDArray[np.float64], str]]:  # noqa: ANN401 - an area
    """Rings of an area without their repeated last point: each part's outer one, then its holes."""
    for part in shapely.get_parts(shape):
        yield shapely.get_coordinates(part.exterior)[:-1], "outer"
        for hole in part.interiors:
            yield shapely.get_coordinates(hole)[:-1], "hole"


def _set_system(drawing: "Drawing", layers: Mapping[str, gpd.GeoDataFrame]) -> None:
    """The coordinate system in the drawing's own properties, where a DXF has a place for a name only."""
    systems = [CRS.from_user_input(table.crs) for table in layers.values() if table.crs is not None]
    if systems:
        authority = systems[0].to_authority(min_confidence=100)
        drawing.header.custom_vars.append("CRS", ":".join(authority) if authority else systems[0].name)
    held = [table.total_bounds for table in layers.values() if len(table)]
    if held:
        boxes = np.array(held)
        low, high = np.nanmin(boxes[:, :2], axis=0), np.nanmax(boxes[:, 2:], axis=0)
        if np.isfinite([*low, *high]).all():
            view = drawing.modelspace()
            view.reset_extents((*low.tolist(), 0.0), (*high.tolist(), 0.0))
            middle = ((low + high) / 2).tolist()
            drawing.set_modelspace_vport(height=float(1.1 * max(*(high - low), 1.0)), center=tuple(middle))


@contextmanager
def _fixed_meta_data() -> Iterator[None]:
    """Dates and identifiers of the file are constants, so that the same land gives the same bytes."""
    import ezdxf  # noqa: PLC0415 - as above

    before = ezdxf.options.write_fixed_meta_data_for_testing
    ezdxf.options.write_fixed_meta_data_for_testing = True
    try:
        yield
    finally:
        ezdxf.options.write_fixed_meta_data_for_testing = before
