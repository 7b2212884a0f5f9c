"""The grid of tiles that web maps use: where a tile lies, which tile holds a place, what a layer's tiles carry.

Tiles are squares of Web Mercator, counted from the north-west. CGCS2000 and
WGS 84 are taken as one: longitude and latitude of any datum stay as they are,
as everywhere in this product. Nothing is ever measured in this plane.

Sources: OGC 17-083r4, Two Dimensional Tile Matrix Set, WebMercatorQuad;
TileJSON 3.0.0; EPSG Guidance Note 7-2, method 1024.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from pyproj import CRS, Transformer

from geo import schema
from geo.crs import central_meridian
from geo.errors import InputError, MissingDatumError

Bounds = tuple[float, float, float, float]  # west, south, east, north
Floats = npt.NDArray[np.float64]

EXTENT: Final = 4096  # units a tile is wide: 16 to a screen pixel of 256
BUFFER: Final = 80  # units drawn beyond a tile's edge, so that a border's stroke is not cut: 5 pixels
MAX_ZOOM: Final = 22
WORLD_M: Final = 20_037_508.342789244  # from the middle of Web Mercator to its edge
MAX_LATITUDE: Final = 85.051128779806592

# What leaves in a tile: codes, classes, states and areas. No name, no address, nothing of a person.
# The first column names the feature.
TILE_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "patches": (
        "patch_code", "village_code", "land_class", "ownership_kind", "patch_kind", "is_enclave",
        "patch_area_m2", "covered_area_m2", "residual_area_m2", "piece_count",
    ),
    "parcels": (
        "parcel_code", "parcel_class", "ownership_kind", "surveyed_area_m2", "surveyed_area_mu",
        "share_based", "has_rights", "shift_key",
    ),
    "parcels_original": ("parcel_code", "shift_key"),
    "pieces": (
        "piece_code", "piece_key", "piece_class", "piece_shape", "state", "village_code", "group_code",
        "patch_code", "land_class", "area_m2", "net_area_m2", "area_mu", "net_area_mu", "sheet_code",
    ),
    "villages": ("village_code", "survey_area_m2"),
    "findings": ("finding_id", "severity", "rule", "title", "layer", "village_code"),
    "sheets": (
        "sheet_key", "sheet_number", "sheet_kind", "unit_code", "page", "pages", "scale",
        "piece_count", "home_count", "area_m2", "status",
    ),
    "grids": (
        "grid_code", "grid_kind", "parent_code", "village_code", "households", "homes", "balance",
        "change", "area_m2",
    ),
    "households": (
        "household_key", "village_code", "group_code", "households", "located_by", "grid_code", "micro_code",
    ),
}  # fmt: skip

_DENSITY: Final = np.linspace(0.0, 1.0, 21)  # points of a tile's side that are looked at in another system
_REACH: Final = 15.0  # degrees from the central meridian that a zone's formulas are asked about
_MARGIN: Final = 3.0  # degrees beyond a system's area of use


class Tile(NamedTuple):
    """One tile, by zoom, column from the west and row from the north."""

    z: int
    x: int
    y: int

    @property
    def bounds(self) -> Bounds:
        """In EPSG:3857, metres of that plane."""
        return self.buffered(0)

    def buffered(self, units: float) -> Bounds:
        """Bounds in EPSG:3857 with so many units (of `EXTENT` to a tile) on each side."""
        side = 2 * WORLD_M / 2**self.z
        more = side * units / EXTENT
        west, north = self.x * side - WORLD_M, WORLD_M - self.y * side
        return west - more, north - side - more, west + side + more, north + more

    @property
    def lonlat(self) -> Bounds:
        """In degrees."""
        west, south, east, north = self.bounds
        lon, lat = _degrees(np.array([west, east]), np.array([south, north]))
        return float(lon[0]), float(lat[0]), float(lon[1]), float(lat[1])

    @property
    def children(self) -> tuple["Tile", "Tile", "Tile", "Tile"]:
        """The four tiles of the next zoom that fill it."""
        z, x, y = self.z + 1, 2 * self.x, 2 * self.y
        return Tile(z, x, y), Tile(z, x + 1, y), Tile(z, x, y + 1), Tile(z, x + 1, y + 1)

    @property
    def parent(self) -> "Tile":
        """The tile of the zoom before that it is a quarter of; the whole world is its own."""
        return Tile(self.z - 1, self.x // 2, self.y // 2) if self.z else self

    def within(self, crs: CRS | str, *, buffer: float = BUFFER) -> Bounds | None:
        """Bounds in another system: what to ask a layer for.

        Parameters
        ----------
        crs : CRS
            Of the layer.
        buffer : float
            Units beyond the tile's edge.

        Returns
        -------
        west, south, east, north, or None
            Of the tile's outline, which is curved there; wide enough by a
            thousandth. None if the tile lies outside of where the system is used.

        Raises
        ------
        MissingDatumError
            If the system is tied to no ellipsoid.
        """
        return _within(self, _text(crs), buffer)

    @property
    def valid(self) -> bool:
        """Whether there is such a tile."""
        return 0 <= self.z <= MAX_ZOOM and 0 <= self.x < 2**self.z and 0 <= self.y < 2**self.z


def tile_at(lon: float, lat: float, z: int) -> Tile:
    """The tile of a zoom that holds a place; on a border the one to the east and south."""
    column, row = _world(np.array([lon]), np.array([lat]))
    last = 2**z - 1
    return Tile(z, *(min(max(int(at[0] * 2**z), 0), last) for at in (column, row)))


def tiles_over(bounds: Bounds, z: int) -> Iterator[Tile]:
    """Tiles of a zoom that share a point with bounds in degrees, by row and column."""
    first, last = tile_at(bounds[0], bounds[3], z), tile_at(bounds[2], bounds[1], z)
    for y in range(first.y, last.y + 1):
        for x in range(first.x, last.x + 1):
            yield Tile(z, x, y)


def tilejson(  # noqa: PLR0913 - the parts of the document
    layer: str,
    *,
    url: str,
    bounds: Bounds | None = None,
    min_zoom: int = 0,
    max_zoom: int = 19,
    columns: Sequence[str] | None = None,
    name: str | None = None,
    attribution: str = "",
) -> dict[str, Any]:
    """TileJSON 3.0 of a layer's vector tiles.

    Parameters
    ----------
    layer : str
        A layer of `TILE_COLUMNS`; with another, ``columns`` must be given.
    url : str
        Template with ``{z}``, ``{x}`` and ``{y}``.
    bounds : west, south, east, north, optional
        In degrees.
    min_zoom, max_zoom : int
        Zooms that there are tiles of.
    columns : sequence of str, optional
        What the tiles carry; `TILE_COLUMNS` by default.
    name, attribution : str
        The layer's Chinese title by default, and what the map's corner says.

    Returns
    -------
    dict
        With ``vector_layers``: each field with its Chinese title.

    Raises
    ------
    InputError
        If the layer has no tiles.
    """
    if columns is None:
        columns = tile_columns(layer)
    try:
        titles = schema.titles(layer)
    except KeyError:
        titles = {}
    title = name or schema.LAYER_TITLES.get(layer, layer)
    document: dict[str, Any] = {
        "tilejson": "3.0.0",
        "name": title,
        "scheme": "xyz",
        "tiles": [url],
        "minzoom": min_zoom,
        "maxzoom": max_zoom,
        "vector_layers": [
            {
                "id": layer,
                "description": title,
                "minzoom": min_zoom,
                "maxzoom": max_zoom,
                "fields": {column: titles.get(column, column) for column in columns},
            }
        ],
    }
    if attribution:
        document["attribution"] = attribution
    if bounds is not None:
        west, south, east, north = (round(side, 7) for side in bounds)
        document["bounds"] = [west, south, east, north]
        document["center"] = [round((west + east) / 2, 7), round((south + north) / 2, 7), min_zoom]
    return document


def tile_columns(layer: str) -> tuple[str, ...]:
    """Columns that a layer's tiles carry.

    Raises
    ------
    InputError
        If the layer has no tiles.
    """
    if layer not in TILE_COLUMNS:
        raise InputError(f"图层 {layer} 没有矢量瓦片；可用图层：{'、'.join(TILE_COLUMNS)}")
    return TILE_COLUMNS[layer]


def to_world(coordinates: Floats, crs: CRS | str | None) -> Floats:
    """Coordinates as shares of the world's square: east from its west edge, south from its north edge.

    Parameters
    ----------
    coordinates : ndarray, n x 2
        East and north in ``crs``.
    crs : CRS
        Of them.

    Returns
    -------
    ndarray, n x 2
        0..1 in each direction; not finite where the system has no place for them.

    Raises
    ------
    MissingDatumError
        If the system is tied to no ellipsoid.
    """
    text = _text(crs)
    if _is_mercator(text):
        return np.column_stack(
            [0.5 + coordinates[:, 0] / (2 * WORLD_M), 0.5 - coordinates[:, 1] / (2 * WORLD_M)]
        )
    lon, lat = _geodetic(text).transform(coordinates[:, 0], coordinates[:, 1])
    return np.column_stack(_world(lon, lat))


def _world(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    sine = np.sin(np.radians(np.clip(lat, -MAX_LATITUDE, MAX_LATITUDE)))
    return 0.5 + lon / 360, 0.5 - np.arctanh(sine) / (2 * np.pi)


def degrees(east_share: Floats, south_share: Floats) -> tuple[Floats, Floats]:
    """Longitude and latitude of places given as shares of the world's square."""
    return _degrees((2 * east_share - 1) * WORLD_M, (1 - 2 * south_share) * WORLD_M)


def _degrees(east: Floats, north: Floats) -> tuple[Floats, Floats]:
    return east / WORLD_M * 180, np.degrees(np.arctan(np.sinh(north / WORLD_M * np.pi)))


def _text(crs: CRS | str | None) -> str:
    """What a system was made from: comparing and hashing systems themselves costs more than a tile may."""
    if crs is None:
        raise MissingDatumError("图层没有坐标系，无法生成瓦片；请在读取时指定坐标系")
    return str(crs.srs) if isinstance(crs, CRS) else crs


@lru_cache(maxsize=64)
def _is_mercator(text: str) -> bool:
    return CRS(text).to_epsg() == 3857  # noqa: PLR2004 - Web Mercator


@lru_cache(maxsize=64)
def _geodetic(text: str) -> Transformer:
    """To longitude and latitude on the system's own datum; a transformer of pyproj serves all threads."""
    crs = CRS(text).to_2d()
    geodetic = crs.geodetic_crs
    if geodetic is None or crs.get_geod() is None:
        raise MissingDatumError(f"坐标系 {crs.name} 没有大地基准，无法生成瓦片")
    return Transformer.from_crs(crs, geodetic.to_2d(), always_xy=True)


@lru_cache(maxsize=64)
def _used(text: str) -> Bounds:
    """Where a system's formulas may be asked, in degrees."""
    crs = CRS(text)
    if crs.is_geographic:
        return -180.0, -90.0, 180.0, 90.0
    if crs.area_of_use is not None:
        west, south, east, north = crs.area_of_use.bounds
        return west - _MARGIN, south - _MARGIN, east + _MARGIN, north + _MARGIN
    meridian = central_meridian(crs)
    if meridian is None:
        return -180.0, -90.0, 180.0, 90.0
    return meridian - _REACH, -90.0, meridian + _REACH, 90.0


@lru_cache(maxsize=4096)
def _within(tile: Tile, text: str, buffer: float) -> Bounds | None:
    bounds = tile.buffered(buffer)
    if _is_mercator(text):
        return bounds
    transformer = _geodetic(text)
    lon, lat = _degrees(np.array(bounds[::2]), np.array(bounds[1::2]))
    used = _used(text)
    west, east = max(lon[0], used[0]), min(lon[1], used[2])
    south, north = max(lat[0], used[1]), min(lat[1], used[3])
    if west >= east or south >= north:
        return None
    across, up = west + (east - west) * _DENSITY, south + (north - south) * _DENSITY
    columns, rows = np.meshgrid(across, up)  # the inside too: a wide tile's furthest point may lie there
    x, y = transformer.transform(columns.ravel(), rows.ravel(), direction="INVERSE")
    there = np.isfinite(x) & np.isfinite(y)
    if not there.any():
        return None
    x, y = x[there], y[there]
    more = max(np.ptp(x), np.ptp(y)) / 1000
    return float(x.min() - more), float(y.min() - more), float(x.max() + more), float(y.max() + more)
