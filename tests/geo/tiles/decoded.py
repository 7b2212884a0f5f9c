"""What another reader makes of a tile, and land to put into tiles."""

import geopandas as gpd
import mapbox_vector_tile
import numpy as np
import shapely
from shapely.affinity import scale, translate
from shapely.geometry import shape

from geo.tiles import Tile, tile_layer
from geo.tiles.scheme import EXTENT, to_world

ZONE_38 = "EPSG:4526"
X0, Y0 = 38_500_000, 3_800_000  # on the central meridian of zone 38, at 34.3 N
BOX = shapely.box(-80, -80, EXTENT + 80, EXTENT + 80)


def decode(content):
    """Layers of a tile by the library of the format's makers: name to {id: (shape in units, y down, properties)}."""
    told = mapbox_vector_tile.decode(content, default_options={"y_coord_down": True})
    return {
        name: {each["id"]: (shape(each["geometry"]), each["properties"]) for each in layer["features"]}
        for name, layer in told.items()
    }


def parcels(*shapes, crs=ZONE_38, **columns):
    frame = gpd.GeoDataFrame(columns, geometry=list(shapes), crs=crs)
    frame.insert(0, "parcel_code", [f"1407251022020{row:06d}" for row in range(len(shapes))])
    return frame


def layer(*shapes, crs=ZONE_38, **columns):
    return tile_layer("parcels", parcels(*shapes, crs=crs, **columns))


def in_units(geometry, tile, crs=ZONE_38):
    """A shape corner by corner in the units of a tile."""
    low = np.array([tile.x, tile.y]) * EXTENT
    return shapely.transform(geometry, lambda at: to_world(at, crs) * EXTENT * 2.0**tile.z - low)


def place(x, y, z, crs=ZONE_38):
    """The tile that holds a place."""
    ((east, south),) = to_world(np.array([[x, y]], dtype=float), crs) * 2.0**z
    return Tile(z, int(east), int(south))


def land(seed, *, count, spread, size):
    """Fields of every kind: convex, notched, with a pond, in two parts."""
    rng = np.random.default_rng(seed)
    fields = []
    for kind in rng.integers(0, 4, count):
        x, y = X0 + rng.uniform(-spread, spread), Y0 + rng.uniform(-spread, spread)
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(5, 30)))
        reach = rng.uniform(0.4, 1, len(angles)) * size * rng.uniform(0.3, 1)
        field = shapely.make_valid(
            shapely.Polygon(np.column_stack([x + reach * np.cos(angles), y + reach * np.sin(angles)]))
        )
        field = max(shapely.get_parts(field), key=shapely.area)
        if kind == 1:
            field = field.difference(scale(field, 0.5, 0.5, origin=field.representative_point()))
        if kind == 2:
            field = shapely.union(field, translate(field, 3 * size, 0))
        fields.append(field)
    return [field for field in fields if field.geom_type in {"Polygon", "MultiPolygon"}]
