"""A village group by hand: pieces, parcels and neighbours on a grid of metres."""

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely import affinity
from shapely.geometry import box

from geo import schema
from geo.sheets.frames import Frame

CRS = "EPSG:4526"  # CGCS2000, 3-degree zone 38, zone number in the easting
X0, Y0 = 38_420_000, 4_196_000
GROUP, OTHER = "14072510120001", "14072510120002"
CLASSES = {"W": "UNCONFIRMED", "X": "NEWLY_ADDED", "D": "UNDETERMINED"}


def piece(serial, shape, *, letter="W", kind="BLOCK", area=None, group=GROUP):  # noqa: PLR0913 - a row reads as a row
    return {
        "piece_code": f"{group}-{letter}-{serial:04d}",
        "piece_class": CLASSES[letter],
        "piece_shape": kind,
        "group_code": group,
        "village_code": group[:12],
        "area_m2": round(shape.area, 2) if area is None else area,
        "geometry": affinity.translate(shape, X0, Y0),
    }


def layers(*pieces, parcels=(), villages=()):
    """Layers of a page; parcels are (issuer, shape), villages (code, name, shape)."""
    held = [
        {
            "parcel_code": f"{issuer}{n:05d}",
            "issuer_code": issuer,
            "geometry": affinity.translate(shape, X0, Y0),
        }
        for n, (issuer, shape) in enumerate(parcels)
    ]
    land = [
        {"village_code": code, "village_name": name, "geometry": affinity.translate(shape, X0, Y0)}
        for code, name, shape in villages
    ]
    rows = [
        {
            "level": "group",
            "code": GROUP,
            "name": "石榆村第一村民小组",
            "farmland_m2": 30_000.0,
            "covered_m2": 10_000.0,
        },
        {"level": "group", "code": OTHER, "name": "石榆村第二村民小组", "farmland_m2": 1.0},
    ]
    return {
        "pieces": _layer("pieces", pieces),
        "parcels": _layer("parcels", held),
        "villages": _layer("villages", land),
        "patches": _layer("patches", []),
        "balance": schema.conform(pd.DataFrame(rows), "balance"),
    }


def _layer(name, rows):
    columns = gpd.GeoDataFrame([*rows], geometry=[row["geometry"] for row in rows], crs=CRS)
    return schema.conform(columns, name)


def frame(codes, *, home=None, west=0.0, south=0.0, **changes):
    """A page of 500 x 440 m at 1:2000 on A3."""
    corners = np.array([[0, 0], [0, 440], [500, 440], [500, 0]], dtype=float) + np.array(
        [X0 + west, Y0 + south]
    )
    facts = {
        "key": f"{GROUP}-02", "kind": "map", "unit_code": GROUP, "unit_name": "石榆村第一村民小组",
        "number": f"{GROUP}-02", "scale": 2000, "corners": corners, "paper": "A3", "page": 2, "pages": 3,
        "neighbours": {"e": f"{GROUP}-03"}, "piece_codes": tuple(sorted(codes)),
        "home_codes": tuple(sorted(codes if home is None else home)),
    }  # fmt: skip
    return Frame(**(facts | changes))


def grid(count, *, letter="W", kind="BLOCK", side=20.0, step=40.0):
    """Square pieces in rows of twelve."""
    return [
        piece(n + 1, box(0, 0, side, side), letter=letter, kind=kind)
        | {"geometry": box(*(np.array([X0, Y0] * 2) + _cell(n, side, step)))}
        for n in range(count)
    ]


def _cell(n, side, step):
    x, y = 5 + n % 12 * step, 5 + n // 12 * step
    return np.array([x, y, x + side, y + side])


MIXED = [
    piece(1, box(100, 100, 200, 180)),
    piece(2, box(250, 100, 330, 160), letter="X"),
    piece(3, box(250, 200, 300, 260), letter="D"),
    piece(4, box(100, 190, 200, 194), kind="STRIP"),
    piece(5, box(100, 200, 101, 260), kind="SLIVER", area=60.37),
]


def codes(pieces):
    return [row["piece_code"] for row in pieces]
