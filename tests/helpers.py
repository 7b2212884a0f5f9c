"""Small layers for tests, said in one line each."""

from pathlib import Path

import geopandas as gpd
from shapely.geometry.base import BaseGeometry

ROOT = Path(__file__).parents[1]

ZONE_39 = "EPSG:4527"  # CGCS2000, 3-degree Gauss-Krüger zone 39, metres, zone number in the easting
X0, Y0 = 39_500_000, 5_000_000  # on its central meridian, where scale is 1


def layer(*shapes: BaseGeometry | None, crs: object = ZONE_39, **columns: object) -> gpd.GeoDataFrame:
    """A layer of these shapes, with further columns given as lists or scalars."""
    return gpd.GeoDataFrame(columns, geometry=list(shapes), crs=crs, index=range(len(shapes)))
