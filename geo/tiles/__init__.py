"""Tiles of a web map: where each lies, its features as a Mapbox Vector Tile, and an archive of them.

Bytes in, bytes out: nothing here hears of HTTP, of a database or of who asks.
"""

from geo.tiles.archive import Archive, write_pmtiles
from geo.tiles.features import TileLayer, feature_ids, shapes, tile_layer
from geo.tiles.mvt import encode
from geo.tiles.scheme import EXTENT, TILE_COLUMNS, Tile, tile_at, tilejson, tiles_over

__all__ = [
    "EXTENT",
    "TILE_COLUMNS",
    "Archive",
    "Tile",
    "TileLayer",
    "encode",
    "feature_ids",
    "shapes",
    "tile_at",
    "tile_layer",
    "tilejson",
    "tiles_over",
    "write_pmtiles",
]
