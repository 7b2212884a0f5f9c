"""Alignment of a county's parcels: laying them askew, and asking where they came to lie."""

import geopandas as gpd
import numpy as np
import shapely

from geo.movement import Movement
from geo.reconcile.align import AlignSettings, align
from tests.geo.reconcile.askew import farmland, village_codes

UPPER, LOWER = "140725100200", "140725101200"  # the villages of the county
ASTRAY = Movement(dx_m=60.0, dy_m=-40.0)


def laid(county, parcels=None, *, names=None, stop=True, jobs=1, **more):
    """Alignment of a county's parcels, or of these."""
    parcels = county.parcels if parcels is None else parcels
    return align(
        parcels,
        farmland(county),
        villages=parcels["issuer_code"].str[:12],
        names=names,
        settings=AlignSettings(**more),
        stop=stop,
        jobs=jobs,
    )


def moved(parcels, which, movement):
    """Parcels with some of them moved."""
    shapes = np.asarray(parcels.geometry.array).copy()
    which = np.asarray(which, dtype=bool)
    shapes[which] = shapely.transform(shapes[which], movement)
    return parcels.set_geometry(gpd.GeoSeries(shapes, index=parcels.index, crs=parcels.crs))


def of_village(county, code):
    return village_codes(county).eq(code).to_numpy(dtype=bool)


def askew(county, movements):
    """The county's parcels with each village moved."""
    parcels = county.parcels
    for code, movement in movements.items():
        parcels = moved(parcels, of_village(county, code), movement)
    return parcels


def only(county, code):
    parcels = county.parcels[of_village(county, code)]
    return parcels.reset_index(drop=True)


def with_shapes(parcels, shapes):
    return parcels.set_geometry(gpd.GeoSeries(list(shapes), index=parcels.index, crs=parcels.crs))


def row_of(got, key):
    return got.shifts.set_index("shift_key", drop=False).loc[key]


def miss(got, county):
    """How far each parcel lies from where it was drawn, m: a distance between corresponding vertices."""
    home = np.asarray(county.parcels.set_index("parcel_code").geometry.loc[got.parcels["parcel_code"]].array)
    here = np.asarray(got.parcels.geometry.array)
    return np.array(
        [
            np.hypot(*(shapely.get_coordinates(a) - shapely.get_coordinates(b)).T).max()
            for a, b in zip(here, home, strict=True)
        ]
    )


def untouched(got, parcels):
    """Nothing has moved, and nothing says so."""
    same = all(a is b for a, b in zip(got.parcels.geometry.array, parcels.geometry.array, strict=True))
    return same and got.parcels["shift_key"].eq("").all() and not len(got.original)


def refused(got, parcels):
    """Not moved, and the one finding says why."""
    return (
        untouched(got, parcels)
        and len(got.findings) == 1
        and got.findings["rule"].isin(["shift_doubtful", "shift_unknown", "parcels_do_not_fit"]).all()
        and not got.shifts["accepted"].any()
    )
