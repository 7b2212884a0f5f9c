"""Small pieces of land for tests: metre boxes on the central meridian, where plane and ellipsoid agree."""

import geopandas as gpd
import pandas as pd
from shapely import box

X0, Y0 = 38_500_000, 4_196_000
VILLAGE = "140725100202"
UNIT = VILLAGE + "0000000"
GROUP = VILLAGE + "01"
CRS = "EPSG:4526"


def square(west, south, east, north):
    return box(X0 + west, Y0 + south, X0 + east, Y0 + north)


def survey(*rows):
    """Patches: (geometry, further columns); dry farmland of village 202 unless said otherwise."""
    table = [
        {
            "patch_code": f"{VILLAGE}-{n:04d}",
            "land_class": "0103",
            "ownership_kind": "30",
            "owner_unit_code": UNIT,
            "location_unit_code": UNIT,
            "location_unit_name": "南村",
            "patch_area_m2": 0.0 if shape is None else round(shape.area, 2),
            "ridge_ratio": 0.0,
            "slope_class": "1",
            "planting_code": "LS",
        }
        | more
        for n, (shape, more) in enumerate(rows, 1)
    ]
    return gpd.GeoDataFrame(table, geometry=[shape for shape, _ in rows], crs=CRS)


def parcels(*rows):
    """Parcels: (geometry, further columns); confirmed to a household of group 01 unless said otherwise."""
    table = [
        {
            "parcel_code": f"{GROUP}{n:05d}",
            "parcel_class": "10",
            "issuer_code": GROUP,
            "contractor_code": f"{GROUP}{n:04d}",
            "acquisition_kind": "110",
            "has_rights": True,
            "share_based": False,
        }
        | more
        for n, (_, more) in enumerate(rows, 1)
    ]
    columns = None if table else ["parcel_code", "parcel_class", "has_rights"]
    return gpd.GeoDataFrame(
        pd.DataFrame(table, columns=columns), geometry=[shape for shape, _ in rows], crs=CRS
    )
